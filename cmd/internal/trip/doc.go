// Package trip is a browser without script: it keeps cookies, follows
// redirects, reads forms and links, and makes the trip that a person makes from
// Microsoft 365's page through the gateway's sign-in page and back. The demo's
// --check and the tests of the assembled service use it.
//
// It knows pages only as a person does: by labels of fields, headings and
// links, never by what the gateway's code calls them.
package trip
