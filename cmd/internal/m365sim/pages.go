package m365sim

import (
	"html/template"
	"net/http"
)

const layout = `{{define "top"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{{.Title}}</title>
<style nonce="sim">
:root{--page:#f4f1ea;--card:#fff;--ink:#2a2418;--soft:#5f5644;--line:#cfc6b3;--accent:#7a4a12;--good:#1a6439;--bad:#a3221b}
@media(prefers-color-scheme:dark){:root{--page:#17140f;--card:#221d16;--ink:#f1ebdf;--soft:#b9ae9a;--line:#4c4332;--accent:#e3b06f;--good:#93dbb0;--bad:#ffb4ab}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
.banner{background:var(--accent);color:var(--card);text-align:center;padding:.4rem 1rem;font-weight:600}
main{max-width:52rem;margin:2.5rem auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.75rem 2rem}
h1{font-size:1.5rem;margin:0 0 .75rem}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}
label{display:block;font-weight:600;margin:.75rem 0 .25rem}
input[type=text],input[type=password]{width:100%;box-sizing:border-box;font:inherit;padding:.6rem;border:1px solid var(--soft);border-radius:6px;background:var(--card);color:var(--ink)}
.row{font-weight:400;display:flex;gap:.5rem;align-items:center}
button,.go{font:inherit;font-weight:600;padding:.6rem 1.4rem;border:0;border-radius:6px;background:var(--accent);color:var(--card);margin-top:1rem;text-decoration:none;display:inline-block}
table{border-collapse:collapse;width:100%;font-size:.9rem}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{font-weight:600;width:38%}th .soft{font-weight:400;font-size:.85em}a{color:inherit}.soft{color:var(--soft)}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
pre{overflow:auto;background:var(--page);padding:.75rem;border-radius:6px;font-size:.8rem}
</style></head><body>{{with .Banner}}<div class="banner" role="note">{{.}}</div>{{end}}<main>{{end}}
{{define "end"}}</main></body></html>{{end}}

{{define "checks"}}<h2>What was checked</h2><table>{{range .Checks}}<tr><td class="{{if .OK}}good{{else}}bad{{end}}">{{if .OK}}holds{{else}}broken{{end}}</td><td>{{.Rule}}</td></tr>{{end}}</table>{{end}}

{{define "name"}}{{template "top" .}}{{if .Tabs}}<p><b>Federated domain</b> · <a href="/managed">Managed domain (pass-through authentication)</a></p>{{end}}<h1>Sign in</h1>
<p class="soft">Stand-in of the Microsoft 365 sign-in page. It asks only for the user name and finds out who checks the password.</p>
{{with .Problem}}<p class="bad" role="alert">{{.}}</p>{{end}}
<form method="post" action="/"><label for="loginfmt">User name</label>
<input id="loginfmt" name="loginfmt" type="text" autocomplete="username" autocapitalize="none" spellcheck="false" value="{{.Name}}" autofocus required>
<label class="row"><input type="checkbox" name="prompt" value="login"> Ask for the password again (prompt=login)</label>
<label class="row"><input type="checkbox" name="protocol" value="saml"> Sign in over SAML 2.0 (as for a domain with preferredAuthenticationProtocol saml)</label>
<button type="submit">Next</button></form>
{{with .Hint}}<h2>Accounts of this demo</h2>{{range .}}<div class="soft">{{.}}</div>{{end}}{{end}}{{template "end" .}}{{end}}

{{define "samlrequest"}}{{template "top" .}}<h1>Over to your organisation</h1>
<form method="post" action="{{.Action}}"><input type="hidden" name="SAMLRequest" value="{{.Request}}"><input type="hidden" name="RelayState" value="{{.RelayState}}">
<button type="submit">Continue</button></form>{{template "end" .}}{{end}}

{{define "refused"}}{{template "top" .}}<h1>Sorry, but we’re having trouble signing you in</h1>
<p><b class="bad" id="code">{{.V.Code}}</b>: <span id="why">{{.V.Why}}</span></p>
{{template "checks" .V}}<p><a class="go" href="/">Try again</a></p>{{end}}

{{define "portal"}}{{template "top" .}}<h1>Signed in as <span id="who">{{if .V.DisplayName}}{{.V.DisplayName}}{{else}}{{.V.UPN}}{{end}}</span></h1>
<p class="good" id="state">The token was accepted and its signature verified.</p>
<table><tr><th>UPN</th><td id="upn">{{.V.UPN}}</td></tr><tr><th>ImmutableID</th><td id="immutableid">{{.V.ImmutableID}}</td></tr>
<tr><th>Issuer</th><td id="issuer">{{.V.Issuer}}</td></tr><tr><th>Method</th><td id="method">{{.V.AuthnMethod}}</td></tr>
<tr><th>Authenticated at</th><td id="instant">{{.V.AuthnInstant}}</td></tr><tr><th>Valid</th><td>{{.V.NotBefore}} to {{.V.NotOn}}</td></tr>
<tr><th>Signature</th><td>{{.V.SignatureAlgo}}, certificate {{.V.Thumbprint}} ({{.V.Slot}})</td></tr></table>
<h2>Claims</h2><table>{{range .V.Claims}}<tr><th>{{.Name}}<br><span class="soft">{{.Namespace}}</span></th><td>{{.Value}}</td></tr>{{end}}</table>
{{template "checks" .V}}
<p><a class="go" id="signout" href="{{.SignOut}}">Sign out</a></p>
<details><summary>The assertion</summary><pre>{{.V.Token}}</pre></details>{{template "end" .}}{{end}}`

func (s *Sim) render(w http.ResponseWriter, status int, name string, data map[string]any) {
	titles := map[string]string{"name": "Sign in", "refused": "Sign-in refused", "portal": "Signed in", "samlrequest": "Sign in", "managed": "Sign in", "managedin": "Signed in"}
	data["Tabs"] = s.tabs() != nil
	data["Banner"], data["Title"] = s.banner, titles[name]+" · stand-in of Microsoft 365"
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data)
}

var pages = template.Must(template.New("").Parse(layout + managedPages))
