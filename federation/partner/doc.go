// Package partner reads the SAML 2.0 metadata of other parties and keeps it fresh.
//
// # Design
//
// [Read] turns one document into entities; [Entity.Party] turns an entity into the
// settings of one service provider. [Keeper] holds the documents that the settings
// name, from files and addresses, and tells when something changed. [Query] asks a
// metadata query service for one entity. [Import] verifies an aggregate of any size
// in one pass and bounded memory and gives out the entities that were asked for.
// [Known] is a small catalogue of what well-known service providers need.
//
// # Threat
//
// Who writes a party's metadata decides where tokens for it go and whose signatures
// count as its own. So:
//
//   - A document is trusted because it is a local file, or because it carries a good
//     signature by a pinned key. A connection alone counts only where a setting says
//     so. The certificates' dates and issuers do not matter: they hold keys.
//   - The party's entity id stands in the settings; a document never names a party.
//   - A document gives a complete registration or none: a key that cannot be read, a
//     use that is not known, an address that is not https never leads to a weaker
//     party. What is left out is said in a warning.
//   - A good signature does not make an old document new: what we hold is replaced
//     only by what is not older, and validUntil ends every document. Until then the
//     last good copy stands, whatever the network does.
//   - Nothing in a document causes a request: no KeyInfo, no address, no icon is
//     fetched.
//   - A metadata query is caused by strangers: entity ids are asked for under caps,
//     and what is unknown is remembered. Nobody can fill the list of what was found:
//     parties for which nobody has got a token yet make room for each other, and only
//     for each other; those that are used are there again after a restart. All this
//     holds for each instance: a service behind several is asked as much more often,
//     and a party that was used at one is found by another when it is needed there.
//     What is left to somebody with many networks is to use up the questions of
//     strangers, so that for as long as he goes on nothing new is found; parties in use
//     and sign-ins that have begun do not depend on them.
//
// # Choices where specifications are silent
//
//   - validUntil 0001-01-01T00:00:00Z, which an old library writes for "none", counts
//     as absent; any other that has passed is a refusal (CASES C04).
//   - An end of validity that comes earlier than the one we hold, or vanishes, is
//     taken for an old document.
//   - Of several certificates in one X509Data the first holds the key. A bare
//     RSAKeyValue is taken as well.
//   - SHA-1 is never accepted in a signature over metadata.
//   - An EntitiesDescriptor is read here up to 2 MiB; larger ones go through [Import].
//
// Short names used in comments: SAML Metadata 2.0 (OASIS, with errata 5), MDUI
// (Metadata Extensions for Login and Discovery User Interface 1.0), MDRPI (Metadata
// Extensions for Registration and Publication Information 1.0), MDQ
// (draft-young-md-query and draft-young-md-query-saml), XML-ENC.
package partner
