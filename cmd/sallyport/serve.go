package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

// stopTime is how long running sign-ins may take once a stop was asked for,
// besides ops.drain_time.
const stopTime = 25 * time.Second

func serveCommand() command {
	c := command{name: "serve", synopsis: "serve --config F", help: "run the service"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `Runs the service in the foreground. Logs go to standard error as JSON.

Signals: HUP reads the settings again (a file with an error changes nothing and is
reported in the log), TERM and INT stop: readiness goes first, running sign-ins
finish; a second one stops at once.`)
		path := f.String("config", defaultConfig, "the settings `file`")
		if _, status, done := parse(e, f, args, 0, 0); done {
			return status
		}
		cfg, ok := load(e, *path)
		if !ok {
			return exitFailed
		}
		if err := serve(cfg); err != nil {
			fmt.Fprintln(e.stderr, "sallyport serve:", err)
			return exitFailed
		}
		return exitGood
	}
	return c
}

// serve runs the service until a signal ends it.
func serve(cfg *config.Config) error {
	// Signals are caught before anything is started, so that an early HUP does not
	// end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	term := make(chan os.Signal, 2)
	signal.Notify(term, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(term)

	app.UseMemory()
	a, err := app.New(cfg, app.Options{Version: release()})
	if err != nil {
		return err
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), cfg.Ops.DrainTime+stopTime)
		defer cancel()
		go func() {
			select {
			case <-term:
				cancel()
			case <-ctx.Done():
			}
		}()
		return a.Stop(ctx)
	}
	if err := a.Start(context.Background()); err != nil {
		return errors.Join(err, stop())
	}
	notify("READY=1")
	for {
		select {
		case <-hup:
			notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic()))
			// The app logs and records how it went; the old settings stay in force
			// when the new ones are broken.
			_ = a.Reload(context.Background())
			notify("READY=1")
		case <-term:
			notify("STOPPING=1")
			return stop()
		case err := <-a.Served():
			if err == nil {
				err = errors.New("the listener ended")
			}
			return errors.Join(err, stop())
		}
	}
}

// notify tells systemd how the service is (sd_notify(3)); elsewhere it does
// nothing. A message that gets lost is no reason to stop.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
