package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func sessionsCommand() command {
	c := command{name: "sessions", synopsis: "sessions end USER --config F", help: "sign a person out everywhere, at once"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `Ends all sign-on sessions of a person, on every instance, within seconds: their
browsers ask for the password again. USER is any form of the user name. What other
services keep of their own (a session at Microsoft 365 for instance) lives on; end
it there too.

The command speaks to the running service through the socket of ops.control, as
the service's own user or root.`)
		file := f.String("config", defaultConfig, "the settings `file`")
		rest, status, done := parse(e, f, args, 2, 2)
		if done {
			return status
		}
		if rest[0] != "end" {
			fmt.Fprintln(e.stderr, "sallyport sessions: say sessions end USER --config F")
			return exitUsage
		}
		cfg, ok := loadFederation(e, *file)
		if !ok {
			return exitFailed
		}
		account, err := endSessions(cfg.Ops.Control, rest[1])
		if err != nil {
			fmt.Fprintln(e.stderr, "sallyport sessions:", err)
			return exitFailed
		}
		fmt.Fprintf(e.stdout, "all sessions of %s have ended\n", account)
		return exitGood
	}
	return c
}

// endSessions asks the service behind the socket.
func endSessions(socket, user string) (account string, err error) {
	if socket == "" {
		return "", errors.New("ops.control is not set, so the running service cannot be asked: name a socket there and start it again")
	}
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	body, err := json.Marshal(map[string]string{"user": user})
	if err != nil {
		return "", err
	}
	resp, err := client.Post("http://control/sessions/end", "application/json", bytes.NewReader(body))
	switch {
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("%s belongs to the service's user: run this as that user or root", socket)
	case err != nil:
		return "", fmt.Errorf("no service answers on %s: %w", socket, err)
	}
	defer resp.Body.Close()
	var answer struct{ Account, Error string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&answer); err != nil {
		return "", fmt.Errorf("the service's answer (%s) cannot be read: %w", resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(answer.Error)
	}
	return answer.Account, nil
}
