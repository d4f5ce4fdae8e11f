// Package graphtest is a stand-in of Microsoft's token endpoint and of the parts
// of Microsoft Graph that package domain calls. It is written from Microsoft's
// reference and imports nothing of the package that it judges: assertions are
// verified with crypto/rsa, JSON is read with encoding/json.
//
// It is stricter than the documentation where that is silent: a certificate must
// be one line of base64, unknown members are refused, an assertion must hold at
// most ten minutes and its id may be used once. And it misbehaves on demand:
// answers of 429 with Retry-After, errors before or after the change was made,
// reads that are older than the last write, pages of one domain, answers that are
// no JSON. It is not the cloud: what it accepts is likely, not certain, to be
// accepted there.
package graphtest
