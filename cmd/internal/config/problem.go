package config

import (
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
