package app_test

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

func allDown(d *directorytest.Directory) {
	for _, dc := range d.DCs {
		dc.Down()
	}
}

func TestD08_ADirectoryThatIsDownAtTheStartComesBackByItself(t *testing.T) {
	t.Parallel()
	h := open(t, demo.Options{Directory: allDown})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	if status, body := h.readiness(t); status != http.StatusServiceUnavailable || !strings.Contains(body, "directory") {
		t.Errorf("ready without any directory: %d %s", status, body)
	}
	page := h.signInPage(t, b, u.UPN)
	p := h.password(t, b, page, u.Password)
	if p.Status != http.StatusServiceUnavailable || p.Heading() != "We can’t check your password right now" {
		t.Fatalf("%d %q", p.Status, p.Heading())
	}
	h.event(t, map[string]any{"code": "SP102", "reason": "unavailable"})
	for _, dc := range h.Directory.DCs {
		if err := dc.Up(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "ready again", 20*time.Second, func() bool {
		status, _ := h.readiness(t)
		return status == http.StatusOK
	})
	h.signIn(t, b, "alice")
}

func TestC07_AClockThatDiffersIsToldAndStopsNobody(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		h := open(t, demo.Options{Directory: func(d *directorytest.Directory) {
			for _, dc := range d.DCs {
				dc.Set(func(s *directorytest.Settings) { s.Clock = offset })
			}
		}})
		eventually(t, "readiness names the clock", 10*time.Second, func() bool {
			status, body := h.readiness(t)
			return status == http.StatusOK && strings.Contains(body, "degraded") && strings.Contains(body, "clock of dc")
		})
		h.signIn(t, h.Browser(), "alice") // its token's times are judged
	}
}

func TestD08_OneDomainControllerDownIsNotNoticedByAnybody(t *testing.T) {
	t.Parallel()
	h := open(t, demo.Options{})
	h.Directory.DCs[0].Down()
	for range 4 {
		b := h.Browser()
		h.signIn(t, b, "alice")
		b.Close()
	}
	if n := h.Directory.DCs[1].BadPwdCount("alice"); n != 0 {
		t.Errorf("%d wrong passwords were counted", n)
	}
}

func TestD08_AnOutageMovesNoCounterAndAnswersInTime(t *testing.T) {
	t.Parallel()
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	page := h.signInPage(t, b, u.UPN)
	for _, dc := range h.Directory.DCs {
		dc.Down()
	}
	for range 12 {
		start := time.Now()
		p := h.password(t, b, page, u.Password)
		if p.Status != http.StatusServiceUnavailable {
			t.Fatalf("%d %q", p.Status, p.Heading())
		}
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("the page came after %s", d)
		}
	}
	for _, dc := range h.Directory.DCs {
		if err := dc.Up(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "sign-in works again, the outage has not used up the attempts", 20*time.Second, func() bool {
		p := h.password(t, b, page, u.Password)
		_, ok := p.HandedOver()
		return ok
	})
}

func TestD05_ABindWithoutAClearAnswerIsNeitherASignInNorAFailure(t *testing.T) {
	h := open(t, demo.Options{DCs: 1})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	dc := h.Directory.DCs[0]
	for _, reply := range directorytest.FalseSuccesses() {
		dc.Clear()
		id, err := h.Directory.Identity(u.SAM)
		if err != nil {
			t.Fatal(err)
		}
		dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: id.DN, Times: 1, Effect: directorytest.Raw, Reply: reply.Reply})
		p := h.password(t, b, h.signInPage(t, h.Browser(), u.UPN), u.Password)
		if _, ok := p.HandedOver(); ok {
			t.Errorf("%s: a token was given", reply.Name)
		}
	}
}

func TestO02_ABrokenSettingsFileLeavesTheOldSettingsInForce(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	good, err := os.ReadFile(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(h.Settings(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(good) + "\nsignin_pages: {organisation: Elsewhere}\n")
	err = h.Gateway.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "signin_page") {
		t.Fatalf("a wrong key was taken: %v", err)
	}
	h.event(t, map[string]any{"code": "SP501"})
	h.signIn(t, b, "alice")
	write(strings.Replace(string(good), "Contoso (demo)", "Rivermouth", 1))
	if err := h.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.event(t, map[string]any{"code": "SP500"})
	p := h.open(t, h.Browser(), h.SignInURL()+signInQuery)
	if !strings.Contains(p.Text(), "Rivermouth") {
		t.Errorf("the page does not show the new name: %q", p.Text())
	}
}

func TestH13_ASignInThatRunsAtTheStopIsFinished(t *testing.T) {
	t.Parallel()
	h := open(t, demo.Options{Settings: func(s string) string { return strings.Replace(s, "drain_time: 10ms", "drain_time: 200ms", 1) }})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	page := h.signInPage(t, b, u.UPN)
	gate := make(chan struct{})
	reached := make(chan struct{})
	for _, dc := range h.Directory.DCs {
		id, err := h.Directory.Identity(u.SAM)
		if err != nil {
			t.Fatal(err)
		}
		dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: id.DN, Times: 1, Gate: gate, Do: func() { close(reached) }})
	}
	type end struct {
		status int
		token  bool
		err    error
	}
	done := make(chan end, 1)
	go func() {
		form, _ := page.FormWith("t")
		form.Fields.Set("username", u.UPN)
		form.Fields.Set("password", u.Password)
		p, err := b.Submit(t.Context(), form)
		e := end{err: err}
		if err == nil {
			_, e.token = p.HandedOver()
			e.status = p.Status
		}
		done <- e
	}()
	<-reached
	stopped := make(chan error, 1)
	go func() { stopped <- h.Gateway.Stop(t.Context()) }()
	eventually(t, "readiness goes first", 5*time.Second, func() bool {
		status, _ := h.readiness(t)
		return status == http.StatusServiceUnavailable
	})
	eventually(t, "nobody is let in any more", 5*time.Second, func() bool {
		c, err := net.Dial("tcp", h.Gateway.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(gate)
	if e := <-done; e.err != nil || !e.token {
		t.Errorf("the running sign-in ended with %+v", e)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// fullDisk is a file on which every write fails with "no space left on device".
const fullDisk = "/dev/full"

func TestC02_WithoutARecordNoTokenLeaves(t *testing.T) {
	if _, err := os.Stat(fullDisk); err != nil {
		t.Skip("no ", fullDisk, " on this system")
	}
	h := open(t, demo.Options{Settings: func(s string) string {
		return strings.Replace(s, "audit: {file: audit.jsonl}", "audit: {file: audit.jsonl, required: true}", 1)
	}})
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "alice")
	fill(t, h)
	p := h.signInPage(t, b, h.User("alice").UPN)
	if _, ok := p.HandedOver(); ok {
		t.Error("a token left although nobody recorded it")
	}
	if p.Status != http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %q", p.Status, p.Heading())
	}
	if _, body := h.readiness(t); !strings.Contains(body, "audit") {
		t.Errorf("readiness does not name the audit trail: %s", body)
	}
}

// fill makes the audit file's disk full: the file becomes a link to the device
// and is opened again.
func fill(t *testing.T, h *house) {
	t.Helper()
	path := h.Dir + "/audit.jsonl"
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fullDisk, path); err != nil {
		t.Fatal(err)
	}
	_ = h.Gateway.Reload(t.Context()) // it may say that the file is none
}

// A cache that is lost must not become an outage: the service starts without Redis,
// people sign in with their password, and readiness, log and metric say what is missing.
func TestR06_ServiceStartsAndSignsInWithoutRedis(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_SECRET", strings.Repeat("0123456789abcdef", 4))
	h := open(t, demo.Options{Settings: func(s string) string {
		s = strings.Replace(s, "sessions: {store: memory}", `sessions: {store: redis, secret_env: SALLYPORT_TEST_SECRET, `+
			`redis: {url: "rediss://127.0.0.1:1", user: sallyport, password_file: service-password}}`, 1)
		return strings.Replace(s, fixedPair, "signing: {key_dir: signing, share: directory, generate: true, instance: one}", 1)
	}})
	status, body := h.readiness(t)
	if status != http.StatusOK || !strings.Contains(body, "degraded") || !strings.Contains(body, "Redis cannot be used, people sign in with their password each time") {
		t.Errorf("readiness %d %s", status, body)
	}
	for range 2 { // no session comes of it: asked again
		h.signIn(t, h.Browser(), "alice")
	}
	b := h.Browser()
	h.signIn(t, b, "alice")
	if p := h.signInPage(t, b, h.User("alice").UPN); !p.AsksPassword(trip.English) {
		t.Errorf("who has no session sees %q", p.Heading())
	}
	if text := h.metrics(t); !strings.Contains(text, "sallyport_redis_up 0") || !strings.Contains(text, `sallyport_signin_sessions_total{event="unavailable"}`) {
		t.Error("the metrics do not say that Redis is away")
	}
	if !strings.Contains(h.log.String(), "sessions in Redis are unavailable; people sign in by password") {
		t.Error("the log does not say that Redis is away")
	}
}
