// Verifies a Sigstore bundle with a public key in PEM, by @sigstore/verify: exit 0, or 1 and why.
const { readFileSync } = require('node:fs');
const { createPublicKey } = require('node:crypto');
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [, , file, pem] = process.argv;
const nothing = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const key = { publicKey: createPublicKey(readFileSync(pem)), validFor: () => true };
try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(file)));
  const trust = toTrustMaterial(nothing, () => key);
  const thresholds = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
  new Verifier(trust, thresholds).verify(toSignedEntity(bundle));
  console.log(bundle.verificationMaterial.content.publicKey.hint);
} catch (error) {
  console.error(`${error.code}: ${error.message}`);
  process.exit(1);
}
