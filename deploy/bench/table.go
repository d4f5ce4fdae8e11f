//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// row is one line of the budget.
type row struct {
	line, figure, goal, gate string
	reached                  string
	good, passed             bool
}

type table struct{ rows []row }

// bound is a goal or gate: at most, or at least.
type bound struct {
	value float64
	least bool
}

func most(v float64) bound  { return bound{v, false} }
func least(v float64) bound { return bound{v, true} }

func (b bound) holds(v float64) bool {
	if b.least {
		return v >= b.value
	}
	return v <= b.value
}

func (b bound) text(format string) string {
	sign := "≤ "
	if b.least {
		sign = "≥ "
	}
	return sign + fmt.Sprintf(format, b.value)
}

// add adds a figure with the values of its rounds; the median counts.
func (t *table) add(line, figure, format string, goal, gate bound, values ...float64) {
	m := median(values)
	r := row{line: line, figure: figure, goal: goal.text(format), gate: gate.text(format), good: goal.holds(m), passed: gate.holds(m)}
	r.reached = fmt.Sprintf(format, m)
	if len(values) > 1 {
		r.reached += fmt.Sprintf(" ("+format+" to "+format+")", slices.Min(values), slices.Max(values))
	}
	t.rows = append(t.rows, r)
}

// note adds a figure without a goal.
func (t *table) note(figure, format string, values ...float64) {
	t.rows = append(t.rows, row{figure: figure, reached: fmt.Sprintf(format, median(values)), good: true, passed: true})
}

// print writes the table and reports whether every gate was passed.
func (t *table) print(out io.Writer) bool {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| #\t| figure\t| goal\t| CI gate\t| reached\t| \t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	passed := true
	for _, r := range t.rows {
		verdict := "goal"
		switch {
		case r.goal == "":
			verdict = ""
		case !r.passed:
			verdict, passed = "MISSED", false
		case !r.good:
			verdict = "gate"
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", r.line, r.figure, r.goal, r.gate, r.reached, verdict)
	}
	_ = w.Flush()
	return passed
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	default:
		return (s[n/2-1] + s[n/2]) / 2
	}
}
