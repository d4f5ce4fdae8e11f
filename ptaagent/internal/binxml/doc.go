// Package binxml reads and writes .NET binary XML: the records of [MC-NBFX], the
// static dictionary of [MC-NBFS] and the session's string table of [MC-NBFSE].
// It is what the relay of Microsoft's cloud wraps its SOAP messages in.
//
// # Reading
//
// [Decoder] turns one document into a tree of [Element], or refuses it. The bytes
// come from the network, from a peer that has proved nothing yet, so every
// dimension is bounded ([Limits]): depth, elements, attributes, text, and above
// all the sum of decoded characters, because a dictionary lets two bytes stand
// for a long string. Nothing is read twice and nothing is skipped: an unknown
// record, a name that is no XML name, an unbound prefix, a repeated attribute, or
// a byte behind the document element is an error. Comments are dropped.
//
// # Writing
//
// [Writer] appends a document. Names of SOAP, WS-Addressing and
// WS-ReliableMessaging go out as ids of the static dictionary, and names of the
// application either inline or through a session table that grows on first use
// ([Table]), which is what .NET does.
//
// Short names:
//
//	[MC-NBFX]   .NET Binary Format: XML Data Structure
//	[MC-NBFS]   .NET Binary Format: SOAP Data Structure
//	[MC-NBFSE]  .NET Binary Format: SOAP Extension
package binxml
