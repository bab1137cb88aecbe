# The changes that automation may make in third-party code. The numbers and names are in limits.json,
# the request is in request.json, and the facts about the run are `input`.
package lint_fix

default allow := false

allow if {
	count(objections) == 0
	input.gates.ci.passed
}

objections contains reason if {
	some rule in data.request.rules
	not covered(rule)
	reason := sprintf("rule %s is not covered by %s", [rule, concat(", ", data.limits.rules)])
	print(reason)
}

objections contains reason if {
	not data.request.licence in data.limits.licences
	reason := sprintf("licence %s is not allowed", [data.request.licence])
	print(reason)
}

objections contains reason if {
	count(data.request.files) > data.limits.files
	reason := sprintf(
		"%d files would change (%s), %d may",
		[count(data.request.files), concat(", ", data.request.files), data.limits.files],
	)
	print(reason)
}

objections contains reason if {
	not input.gates.ci.evidence.checks.passed >= data.limits.tests
	reason := sprintf("fewer than %d tests have passed", [data.limits.tests])
	print(reason)
}

# The manager must apply the rules that were requested.
objections contains reason if {
	not sprintf("--select=%s", [concat(",", data.request.rules)]) in input.stages.manager.args
	reason := "the manager is told to apply other rules"
	print(reason)
}

# A rule is covered by itself or by a wider one: UP covers UP009, and F covers F401 but not FURB.
covered(rule) if {
	some allowed in data.limits.rules
	startswith(rule, allowed)
	regex.find_n(`^[A-Z]*`, rule, 1) == regex.find_n(`^[A-Z]*`, allowed, 1)
}
