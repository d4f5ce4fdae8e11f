// Package xmlsec is the only place where this service reads and signs XML.
//
// Four parts, each small enough to be read in one sitting:
//
//   - [Writer] writes XML that is in exclusive canonical form as it stands and
//     digests the same bytes in the same pass. What we sign is what we wrote:
//     no tree, no second serialisation that could differ from the first.
//   - [Parse] is the gate for every XML byte that comes from outside. It holds
//     the whole document against XML 1.0 and Namespaces in XML before a library
//     sees any of it, because the parsers of this language accept much that is
//     not XML and disagree about what it means. What passes is read by etree.
//   - [Verify] checks a signature under one narrow profile and returns the
//     signed element parsed anew from the very bytes that were digested. Nothing
//     else of the message can be reached from its result.
//   - [Aggregate] does the same for a signed list of metadata that is too large for
//     memory, piece by piece.
//
// The threats: a document that two components read differently (doctypes,
// duplicate attributes, comments and processing instructions inside text,
// duplicate ids, undeclared prefixes); documents made to exhaust memory or
// processor; signatures moved, doubled or wrapped so that one element is
// verified and another one read; keys and algorithms chosen by the sender.
//
// Where we are stricter than the specifications, or choose where they are silent:
//
//   - the text <!DOCTYPE is refused even in comments and CDATA sections;
//   - UTF-8 and XML 1.0 only; a byte order mark is allowed;
//   - namespace names are absolute URIs; relative ones have no canonical form;
//   - the values of ID, AssertionID, Id, wsu:Id and xml:id share one set per
//     document and are NCNames of at most 256 bytes;
//   - white space in attribute values is normalised before etree reads the
//     document, since encoding/xml omits that step of XML 1.0;
//   - imported metadata may declare up to 2,000 namespaces in all, as AD FS's
//     does, but 64 at one place; messages 64 in all;
//   - KeyInfo is ignored, not compared: only a registered key verifies, whatever
//     the message names.
//
// Short names used in comments:
//
//	XML 1.0        W3C Extensible Markup Language (XML) 1.0, fifth edition
//	Namespaces     W3C Namespaces in XML 1.0, third edition
//	XML-DSIG       W3C XML Signature Syntax and Processing
//	C14N           W3C Canonical XML 1.0
//	Exc-C14N       W3C Exclusive XML Canonicalization 1.0
package xmlsec
