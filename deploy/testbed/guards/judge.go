package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// errLeftOut says that a test did not run for want of the lab.
var errLeftOut = errors.New("left out: needs the lab")

// judge takes guards out and runs their tests. It is for several goroutines.
type judge struct {
	root    string // the module
	scratch string
	guards  []guard

	mu     sync.Mutex
	intact map[string]*intact // by folder
	copies int
}

// intact is what the tests of one folder say with every guard in place.
type intact struct {
	once sync.Once
	said map[string]string // PASS, FAIL or SKIP by test
	err  error
}

// prove returns nil when the test of g fails without g.
func (j *judge) prove(ctx context.Context, g guard) error {
	changed, err := g.without(j.root)
	if err != nil {
		return err
	}
	if err := g.testExists(j.root); err != nil {
		return err
	}
	if err := j.passesIntact(ctx, g); err != nil {
		return err
	}
	overlay, err := j.overlay(g, changed)
	if err != nil {
		return err
	}
	text, err := j.run(ctx, overlay, "-count=1", "-run="+anchored(g.test), "./"+g.dir())
	switch {
	case err == nil && strings.Contains(text, "no tests to run"):
		return errors.New("no test has this name")
	case err == nil:
		return errors.New("the test passes without its guard")
	case strings.Contains(text, "panic: test timed out"):
		return errors.New("the test runs out of time without its guard, which is no assertion")
	case strings.Contains(text, "\npanic: "):
		return fmt.Errorf("the test panics without its guard, which is no assertion\n%s", tail(text))
	case outcomes(text)[g.function()] != "FAIL":
		return fmt.Errorf("no test failed: %w\n%s", err, tail(text))
	}
	return nil
}

// passesIntact runs all tests of the folder that the table names, once, and says
// what that of g said.
func (j *judge) passesIntact(ctx context.Context, g guard) error {
	j.mu.Lock()
	was := j.intact[g.dir()]
	if was == nil {
		was = &intact{}
		j.intact[g.dir()] = was
	}
	j.mu.Unlock()
	was.once.Do(func() {
		var names []string
		for _, other := range j.guards {
			if other.dir() == g.dir() {
				names = append(names, other.function())
			}
		}
		var text string
		text, was.err = j.run(ctx, "", "-run=^("+strings.Join(names, "|")+")$", "./"+g.dir())
		was.said = outcomes(text)
		if was.err != nil {
			was.err = fmt.Errorf("%w\n%s", was.err, tail(text))
		}
	})
	switch was.said[g.function()] {
	case "PASS":
		return nil
	case "SKIP":
		return errLeftOut
	default:
		return fmt.Errorf("the test does not pass with its guard in place: %w", was.err)
	}
}

// overlay writes the changed file of g beside the tree and returns the file that
// tells the compiler to read it.
func (j *judge) overlay(g guard, changed []byte) (string, error) {
	j.mu.Lock()
	j.copies++
	base := filepath.Join(j.scratch, fmt.Sprint(j.copies))
	j.mu.Unlock()
	if err := os.WriteFile(base+".go", changed, 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(j.root, filepath.FromSlash(g.file)): base + ".go"},
	})
	if err != nil {
		return "", err
	}
	return base + ".json", os.WriteFile(base+".json", text, 0o600)
}

// run runs go test, each test in its plain form, and returns what it printed. The
// overlay holds for programs too that a test builds.
func (j *judge) run(ctx context.Context, overlay string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", append([]string{"test", "-v", "-vet=off", "-ldflags=-s -w", "-failfast", "-timeout=2m"}, args...)...)
	command.Dir = j.root
	command.Env = append(os.Environ(), "SALLYPORT_LONG=")
	if overlay != "" {
		command.Env = append(command.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	text, err := command.CombinedOutput()
	return string(text), err
}

var outcome = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) `)

// outcomes reads the verdict of each test from what go test -v printed.
func outcomes(text string) map[string]string {
	said := map[string]string{}
	for _, m := range outcome.FindAllStringSubmatch(text, -1) {
		said[m[2]] = m[1]
	}
	return said
}

// anchored gives each level of a test's name its ^ and $.
func anchored(test string) string {
	levels := strings.Split(test, "/")
	for i, level := range levels {
		levels[i] = "^(" + level + ")$"
	}
	return strings.Join(levels, "/")
}

func tail(text string) string {
	const most = 1500
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}
