package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"sallyport/authn/redisstore"
	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

const certsHelp = `The keys that sign tokens: what there is, what happens next and when.

  list                     every key, who knows it, and the next steps with dates
  stage                    make the next key now; it is published, and signs later
  promote [KEY]            let the next key sign (or an earlier one that is still
                           retired, to go back)
  retire KEY               give up the next key, or take an earlier one out early
  told KEY PARTY           note that PARTY holds the certificate: for parties that
                           nobody can look into
  import FILE              bring in a key with its certificate: a PFX as AD FS
                           exports it, or PEM. The first key signs at once, later
                           ones are staged
  export [KEY]             write the certificate and a notice for other parties
  emergency                the key may be stolen: replace all keys now

KEY is the beginning of a thumbprint. The commands work on signing.key_dir (and on
Redis with signing.share: redis), beside a running service, whose instances follow
within seconds and write the change into their audit trails, and without one. Run
them as the service's user.`

func certsCommand() command {
	c := command{name: "certs", synopsis: "certs list|stage|promote|retire|told|import|export|emergency", help: "the keys that sign tokens, and their certificates"}
	c.run = func(e env, args []string) int {
		r := &certsRun{env: e, flags: flags(e, c, certsHelp)}
		r.declare()
		rest, status, done := parse(e, r.flags, args, 1, 3)
		if done {
			return status
		}
		action, ok := map[string]certsAction{
			"list": {r.list, 0, 0, "json", false}, "stage": {r.stage, 0, 0, "json", true}, "promote": {r.promote, 0, 1, "yes force", false},
			"retire": {r.retire, 1, 1, "yes", true}, "told": {r.told, 2, 2, "", false}, "import": {r.importKey, 1, 1, "password-file", true},
			"export": {r.export, 0, 1, "out", false}, "emergency": {r.emergency, 0, 0, "yes reason", true},
		}[rest[0]]
		if !ok {
			fmt.Fprintf(e.stderr, "sallyport certs: there is no %q: see sallyport certs --help\n", rest[0])
			return exitUsage
		}
		r.args = rest[1:]
		if status := r.usage(rest[0], action); status != exitGood {
			return status
		}
		var good bool
		if r.cfg, good = loadFederation(e, r.config); !good {
			return exitFailed
		}
		return r.do(action)
	}
	return c
}

// certsAction is one of the command's verbs.
type certsAction struct {
	run         func(context.Context) int
	least, most int
	// flags are the names that it has besides --config.
	flags string
	// keys: it makes or destroys private keys, so it does not begin without them.
	keys bool
}

// certsRun is one call of the command.
type certsRun struct {
	env
	flags *flag.FlagSet
	args  []string
	cfg   *config.Config
	hand  *certs.Hand

	config               string
	json, yes, force     bool
	passwordFile, reason string
	out                  string
}

func (r *certsRun) declare() {
	f := r.flags
	f.StringVar(&r.config, "config", defaultConfig, "the settings `file`")
	f.BoolVar(&r.json, "json", false, "print JSON (list, stage)")
	f.BoolVar(&r.yes, "yes", false, "do not ask (promote, retire, emergency)")
	f.BoolVar(&r.force, "force", false, "promote although relying parties may not know the certificate yet")
	f.StringVar(&r.passwordFile, "password-file", "", "the `file` with the password of a PFX (import; default: it is asked for)")
	f.StringVar(&r.reason, "reason", "", "a `text` for the audit trail (emergency)")
	f.StringVar(&r.out, "out", ".", "the `directory` for the certificate and the notice (export)")
}

// usage refuses arguments and flags that the action does not have: one that is
// ignored would let somebody believe in it.
func (r *certsRun) usage(name string, a certsAction) int {
	problem := ""
	if n := len(r.args); n < a.least || n > a.most {
		problem = fmt.Sprintf("%d arguments behind it", n)
	}
	r.flags.Visit(func(f *flag.Flag) {
		if f.Name != "config" && !strings.Contains(" "+a.flags+" ", " "+f.Name+" ") {
			problem = "--" + f.Name + " means nothing there"
		}
	})
	if problem == "" {
		return exitGood
	}
	fmt.Fprintf(r.stderr, "sallyport certs %s: %s: see sallyport certs --help\n", name, problem)
	return exitUsage
}

// do opens the stores and runs the action.
func (r *certsRun) do(a certsAction) int {
	if !r.cfg.Signing.Living() {
		return r.fixed()
	}
	var shared *redisstore.Store
	if r.cfg.Signing.Share == "redis" {
		rc, err := app.RedisConfig(r.cfg)
		if err != nil {
			return r.fail(err)
		}
		if shared, err = redisstore.New(rc); err != nil {
			return r.fail(err)
		}
		defer shared.Close()
	}
	var err error
	if r.hand, err = app.SigningHand(r.cfg, shared, caller()); err != nil {
		return r.fail(err)
	}
	if late, ok := r.hand.Keys.(*keystore.Late); ok && a.keys {
		if err := late.Ready(); err != nil {
			return r.fail(err)
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	return a.run(ctx)
}

// caller names who acts, for audit trails.
func caller() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return printable(name + "@" + host)
}

func (r *certsRun) fail(err error) int {
	fmt.Fprintln(r.stderr, "sallyport certs:", printable(err.Error()))
	switch {
	case errors.Is(err, certs.ErrPermissions), errors.Is(err, fs.ErrPermission):
		fmt.Fprintln(r.stderr, "  -> or run this as the service's user: sudo -u sallyport sallyport certs …")
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC):
		fmt.Fprintln(r.stderr, "  -> nothing was changed; keys go on signing meanwhile. Make the disk writable, or room on it, and try again")
	}
	return exitFailed
}

// fixed is for settings whose one key has no life cycle.
func (r *certsRun) fixed() int {
	s := r.cfg.Signing
	fmt.Fprintf(r.stderr, `sallyport certs: the settings name one fixed key (%s), which nobody replaces.
  -> name signing.key_dir beside it: the key is taken over as the first one, and its
     successors are made, published and promoted in time (deploy/docs/certificates.md)
`, s.KeyFile)
	return exitFailed
}

// confirm asks before something that cannot be undone.
func (r *certsRun) confirm(question, want string) bool {
	if r.yes {
		return true
	}
	fmt.Fprintf(r.stdout, "%s Type %s to go on: ", question, want)
	line, err := bufio.NewReader(io.LimitReader(r.stdin, 4096)).ReadString('\n')
	switch {
	case err != nil && line == "":
		fmt.Fprintln(r.stdout)
		fmt.Fprintln(r.stderr, "nobody answers: add --yes where that is meant")
		return false
	case strings.TrimSpace(line) != want:
		fmt.Fprintln(r.stdout, "nothing was changed")
		return false
	}
	return true
}
