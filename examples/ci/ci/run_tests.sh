#!/bin/sh
# Run the tests, and write their results as JUnit. Most test runners do that themselves.
failed=0
mkdir -p reports
{
  echo '<testsuite name="tests">'
  for test in ci/test_*.sh; do
    if "$test" >&2; then
      echo "<testcase name=\"$test\"/>"
    else
      failed=1
      echo "<testcase name=\"$test\"><failure message=\"it failed\"/></testcase>"
    fi
  done
  echo '</testsuite>'
} > reports/tests.xml
exit "$failed"
