package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

func checkCommand() command {
	c := command{name: "check", synopsis: "check --config F [--offline] [--json]", help: "judge settings, keys, directory and store"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `Reads the settings strictly, then tries what they name: keys and certificates, the
listeners' addresses, the audit file's directory, Redis with every command that is
needed, and each domain controller step by step. For each failure it says what to
do. It signs nobody in and changes nothing. Run it as the service's user.`)
		path := f.String("config", defaultConfig, "the settings `file`")
		offline := f.Bool("offline", false, "leave out what needs the network")
		asJSON := f.Bool("json", false, "print JSON")
		verbose := f.Bool("v", false, "log to standard error")
		if _, status, done := parse(e, f, args, 0, 0); done {
			return status
		}
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		log := slog.New(slog.DiscardHandler)
		if *verbose {
			log = telemetry.NewLogger(telemetry.LogConfig{Writer: e.stderr, Level: slog.LevelDebug})
		}
		r := &report{e: e, json: *asJSON}
		r.check(ctx, *path, *offline, log)
		return r.end()
	}
	return c
}

// verdict is how a probe ended.
type verdict string

const (
	good verdict = "ok"
	warn verdict = "warn"
	bad  verdict = "FAIL"
)

// finding is what one probe found.
type finding struct {
	Verdict verdict `json:"verdict"`
	What    string  `json:"what"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"`
}

// report prints findings as they come and counts them.
type report struct {
	e     env
	json  bool
	list  []finding
	count map[verdict]int
}

func (r *report) add(v verdict, what, found, remedy string) {
	f := finding{v, what, found, remedy}
	r.list = append(r.list, f)
	if r.count == nil {
		r.count = map[verdict]int{}
	}
	r.count[v]++
	if r.json {
		return
	}
	fmt.Fprintf(r.e.stdout, "%-5s %-32s %s\n", f.Verdict, f.What, printable(f.Found))
	if f.Remedy != "" {
		fmt.Fprintf(r.e.stdout, "      %-32s -> %s\n", "", printable(f.Remedy))
	}
}

// end prints the sum and returns the exit status.
func (r *report) end() int {
	status := exitGood
	if r.count[bad] > 0 {
		status = exitFailed
	}
	if r.json {
		return max(status, printJSON(r.e, r.list))
	}
	fmt.Fprintf(r.e.stdout, "\n%d ok, %d to look at, %d failed\n", r.count[good], r.count[warn], r.count[bad])
	return status
}

// check runs all probes. Without good settings there is nothing else to try.
func (r *report) check(ctx context.Context, path string, offline bool, log *slog.Logger) {
	cfg, err := config.Load(path)
	if err != nil {
		for _, p := range config.Problems(err) {
			r.add(bad, "settings", p.String(), "")
		}
		return
	}
	r.add(good, "settings", path, "")
	for _, p := range cfg.Warnings() {
		r.add(warn, "settings", p.String(), "")
	}
	alone := cfg.AgentAlone()
	if !alone {
		r.signing(ctx, cfg, offline)
		r.listener(ctx, cfg)
		r.port(cfg)
		r.active(cfg)
	}
	r.addresses(ctx, cfg)
	r.audit(cfg)
	r.pta(ctx, cfg, offline)
	if offline {
		return
	}
	r.directory(ctx, cfg, log)
	if !alone {
		r.redis(ctx, cfg, log)
		r.microsoft(ctx, cfg)
	}
}

// days is the rest of a validity in words.
func days(end time.Time) string {
	return fmt.Sprintf("ends %s (%d days)", end.UTC().Format("2006-01-02"), int(time.Until(end).Hours()/24))
}
