//go:build linux

// Command benchserver runs the gateway, as cmd/sallyport serves it, for the load
// driver in deploy/bench: the driver starts it as a process of its own and asks it
// over standard input what it has spent.
//
// It is no part of a release. Beside the gateway it runs what the gateway is
// compared with, in the same process so that the same clock counts both: raw
// RSA signatures with the gateway's own key, a plain net/http server with a 10 KB
// answer, and binds through authn/directory alone.
//
// What everything besides the signature costs is measured with the null signer, which
// repeats one old signature. It needs the key to make that one, and a token that
// carries it verifies nowhere. What everything besides the decryption of a
// pass-through request costs is measured with one that repeats an old plaintext.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sallyport/certs"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

// hello is the first line on standard output.
type hello struct {
	Address string `json:"address"`
	Floor   string `json:"floor"`
}

// command is one line on standard input.
type command struct {
	Do       string `json:"do"`
	N        int    `json:"n"`
	Workers  int    `json:"workers"`
	User     string `json:"user"`
	Password string `json:"password"`
	File     string `json:"file"`
	Null     bool   `json:"null"` // sign, decrypt: without RSA from now on
}

// reply is the line that answers it. Times are nanoseconds of CPU, user and
// system together.
type reply struct {
	Error string `json:"error,omitempty"`
	CPU   int64  `json:"cpu"`
	Signs int64  `json:"signs"` // real signatures so far
	RSS   int64  `json:"rss"`
	N     int    `json:"n"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: benchserver SETTINGS; it is started by go run ./deploy/bench")
	}
	cfg, err := config.Load(os.Args[1])
	if err != nil {
		return err
	}
	key, _, err := certs.Load(certs.Config{KeyFile: cfg.Signing.KeyFile, CertificateFile: cfg.Signing.CertificateFile, Host: cfg.Host()})
	if err != nil {
		return err
	}
	signer, err := newSigner(key.Signer)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	app.UseMemory()
	agent := &agentKeys{dir: filepath.Dir(os.Args[1])}
	gateway, err := app.New(cfg, app.Options{
		Version: "bench", Key: &certs.Key{Signer: signer, Certificate: key.Certificate, ID: key.ID}, PTAKeys: agent,
		Logger: telemetry.NewLogger(telemetry.LogConfig{Writer: log}), // whoever collects the log is no part of the measure
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := gateway.Start(ctx); err != nil {
		return err
	}
	floor, err := startFloor(cfg.TLS.CertificateFile, cfg.TLS.KeyFile)
	if err != nil {
		return err
	}
	defer floor.Close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(hello{Address: gateway.Addr().String(), Floor: floor.address}); err != nil {
		return err
	}
	b := &bench{cfg: cfg, signer: signer, agent: agent}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var c command
		var r reply
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			r.Error = err.Error()
		} else if r, err = b.do(ctx, c); err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	stop, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return gateway.Stop(stop)
}
