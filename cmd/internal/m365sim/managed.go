package m365sim

import (
	"context"
	"net/http"
	"strings"
)

// Managed signs a user of a managed domain in, where nobody but the cloud asks
// for the password.
type Managed func(ctx context.Context, upn, password string) ManagedAnswer

// ManagedAnswer is what the page shows.
type ManagedAnswer struct {
	// OK says that the password is right; Code and Problem say why not otherwise.
	OK            bool
	Code, Problem string
	// Agent is who answered.
	Agent string
	// CorrelationID finds the sign-in in the agent's records; empty when no agent was
	// asked. Find is a command that does.
	CorrelationID, Find string
}

// SetManaged switches the page of the managed domain on.
func (s *Sim) SetManaged(m Managed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.managed = m
}

// ManagedURL is the page of the managed domain.
func (s *Sim) ManagedURL() string { return s.origins[0] + "/managed" }

// tabs reports whether the second page is there.
func (s *Sim) tabs() Managed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.managed
}

func (s *Sim) askPassword(w http.ResponseWriter, r *http.Request) {
	if s.tabs() == nil {
		http.NotFound(w, r)
		return
	}
	s.render(w, http.StatusOK, "managed", map[string]any{"Hint": s.hint})
}

// takePassword asks the agent by way of the cloud.
func (s *Sim) takePassword(w http.ResponseWriter, r *http.Request) {
	managed := s.tabs()
	if managed == nil {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	upn := strings.TrimSpace(r.PostFormValue("loginfmt"))
	answer := managed(r.Context(), upn, r.PostFormValue("passwd"))
	if !answer.OK {
		s.render(w, http.StatusOK, "managed", map[string]any{"Hint": s.hint, "Name": upn, "Answer": answer})
		return
	}
	s.render(w, http.StatusOK, "managedin", map[string]any{"UPN": upn, "Answer": answer})
}

const managedPages = `{{define "managed"}}{{template "top" .}}<p><a href="/">Federated domain</a> · <b>Managed domain (pass-through authentication)</b></p><h1>Sign in</h1>
<p class="soft">Stand-in of the Microsoft 365 sign-in page of a managed domain. It takes the password itself and asks the agent, which asks the directory.</p>
{{with .Answer}}<p class="bad" role="alert"><b id="code">{{.Code}}</b> <span id="why">{{.Problem}}</span></p>{{template "trail" .}}{{end}}
<form method="post" action="/managed"><label for="loginfmt">User name</label>
<input id="loginfmt" name="loginfmt" type="text" autocomplete="username" autocapitalize="none" spellcheck="false" value="{{.Name}}" autofocus required>
<label for="passwd">Password</label><input id="passwd" name="passwd" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button></form>
{{with .Hint}}<h2>Accounts of this demo</h2>{{range .}}<div class="soft">{{.}}</div>{{end}}{{end}}{{template "end" .}}{{end}}

{{define "managedin"}}{{template "top" .}}<h1>Signed in as <span id="upn">{{.UPN}}</span></h1>
<p class="good">The agent says that the password is right.</p>{{template "trail" .Answer}}
<p><a class="go" href="/managed">Sign in again</a></p>{{template "end" .}}{{end}}

{{define "trail"}}{{if .CorrelationID}}<table>{{with .Agent}}<tr><th>Agent</th><td id="agent">{{.}}</td></tr>{{end}}
<tr><th>Correlation id</th><td id="correlation">{{.CorrelationID}}</td></tr>
<tr><th>What the agent knows of it</th><td><code>{{.Find}} {{.CorrelationID}}</code></td></tr></table>{{end}}{{end}}`
