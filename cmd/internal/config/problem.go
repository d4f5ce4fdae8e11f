package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

type position struct{ line, column int }

// Problem is one thing that is wrong in a settings file.
type Problem struct {
	// Line and Column are where it stands, from 1; zero when there is no place.
	Line, Column int
	// Key is the dotted path, for example directory.domains[0].netbios.
	Key string
	// Message says what is wrong and what to write instead.
	Message string
}

// String returns LINE:COLUMN: key: message.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Error is every problem of one settings file, in the order of the file.
type Error struct {
	// File is the path, or the name given to [Parse].
	File     string
	Problems []Problem
}

// Error implements error: a line for each problem.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, e.File+":"+p.String())
	}
	return strings.Join(lines, "\n")
}

// located is an error with the place of the setting that it comes from.
type located struct {
	place string
	err   error
}

func (l *located) Error() string { return l.place + ": " + l.err.Error() }
func (l *located) Unwrap() error { return l.err }

// Place says where a setting stands, as LINE:COLUMN: key; the key alone where the
// settings come from no file.
func (c *Config) Place(key string) string {
	pos := (&problems{at: c.at}).place(key)
	if pos.line == 0 {
		return key
	}
	return fmt.Sprintf("%d:%d: %s", pos.line, pos.column, key)
}

// At is an error of what a setting names, found after the file was read: its text
// begins as the messages of [Load] do, FILE:LINE:COLUMN: key. An error that has a
// place, and nil, come back as they are.
func (c *Config) At(key string, err error) error {
	if has := (*located)(nil); err == nil || errors.As(err, &has) {
		return err
	}
	place := c.Place(key)
	if c.Path != "" && place != key {
		place = c.Path + ":" + place
	}
	return &located{place, err}
}

// problems collects what is wrong.
type problems struct {
	at   map[string]position
	list []Problem
}

// add notes a problem at the key's place, or at the nearest enclosing key that
// has a place.
func (p *problems) add(key, format string, args ...any) {
	pos := p.place(key)
	p.list = append(p.list, Problem{Line: pos.line, Column: pos.column, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) place(key string) position {
	for k := key; ; {
		if pos, ok := p.at[k]; ok {
			return pos
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			return p.at[""]
		}
		k = k[:i]
	}
}

func (p *problems) err(file string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Error{File: file, Problems: p.list}
}
