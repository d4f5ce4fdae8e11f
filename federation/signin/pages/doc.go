// Package pages draws everything that a person sees: sign-in, hand-over, signed
// in, signed out and error pages, in five languages and in the organisation's
// colours. It decides nothing; package signin tells it what to show.
//
// Design. One [Set] is made from the settings at start; every text, template and
// asset is checked then, so that a request cannot meet a broken page. Texts live
// in files/texts.tsv, one row a key, one column a language. All pages work
// without JavaScript; the one script only adds comfort. Assets carry a hash of
// their content in the name and may be cached for a year; pages never are.
//
// Threat. A page is where values of a request could become script (CVE-2023-45683
// and its kin), where a password could be sent elsewhere, and where an attacker
// learns what an account is. Therefore:
//
//   - Values reach a page through html/template in text and attribute context
//     only. The one value of a request that is ever shown is the prefilled user
//     name; hidden fields of the hand-over page carry the protocol's own.
//   - The policy is default-src 'none'; scripts run by nonce; forms post to
//     ourselves. Only the hand-over page may post to another origin, and its
//     address comes from the registry of relying parties. Chromium applies
//     form-action to the redirects after a post too, so that page names the
//     scheme https: unless the party lists all its origins.
//   - No page can be framed, except the hand-over page by the origins that its
//     party lists, exactly as they stand there.
//   - Settings cannot bring HTML, style, script or foreign origins in.
//   - Error pages say what [federation.Problem] stands for and nothing more; a
//     reference leads the service desk to the log record.
package pages
