package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"sallyport/federation/domain"
)

// shown is a domain as show prints it.
type shown struct {
	domain.View
	Worst domain.Severity `json:"worst"`
	Error string          `json:"error,omitempty"`
}

// show prints both views of each domain. Its status is 1 when something is broken,
// foreign or cannot be read.
func (d *domainRun) show(ctx context.Context) int {
	client, list, err := d.prepare(ctx)
	if err != nil {
		return d.fail(err)
	}
	defer client.Close()
	var all []shown
	status := exitGood
	for _, w := range list {
		s := shown{View: domain.View{Domain: w.Domain}}
		if dom, f, err := client.Read(ctx, w.Domain); err != nil {
			s.Error = printable(err.Error())
		} else {
			s.View = domain.Compare(w, dom, f)
		}
		s.Worst = s.View.Worst()
		if s.Error != "" || s.Worst >= domain.Broken {
			status = exitFailed
		}
		all = append(all, s)
	}
	if d.json {
		return max(status, printJSON(d.env, all))
	}
	t := newTable(d.env)
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(d.stdout)
		}
		t.domain(s)
	}
	return status
}

// table prints views for a terminal or a file.
type table struct {
	env
	colour bool
	width  int // of the terminal, zero when there is none
}

// newTable colours only for a terminal, and not where NO_COLOR or a dumb terminal
// says otherwise (no-color.org).
func newTable(e env) *table {
	t := &table{env: e}
	f, ok := e.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	t.width, _, _ = term.GetSize(int(f.Fd()))
	t.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return t
}

// paint colours by severity.
func (t *table) paint(s domain.Severity, text string) string {
	code := map[domain.Severity]string{domain.Note: "36", domain.Behind: "33", domain.Broken: "31", domain.Foreign: "1;97;41"}[s]
	if !t.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *table) domain(s shown) {
	if s.Error != "" {
		fmt.Fprintf(t.stdout, "%s: %s\n", s.Domain, t.paint(domain.Broken, "cannot be read: "+s.Error))
		return
	}
	fmt.Fprintf(t.stdout, "%s: %s\n\n", s.Domain, t.paint(s.Worst, summary(s.View)))
	rows := [][3]string{{"PROPERTY", "MICROSOFT", "SALLYPORT"}}
	for _, r := range s.Rows {
		rows = append(rows, [3]string{r.Property, orDash(r.Microsoft), orDash(r.Sallyport)})
	}
	var wide [3]int
	for _, r := range rows {
		for i, cell := range r {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	stacked := t.width > 0 && 11+wide[0]+wide[1]+wide[2] > t.width
	for i, r := range rows {
		severity, reason, mark := domain.Same, "", ""
		if i > 0 {
			severity, reason = s.Rows[i-1].Severity, s.Rows[i-1].Reason
			mark = severity.String()
			if severity == domain.Same {
				mark = "ok"
			}
		}
		switch {
		case !stacked:
			fmt.Fprintln(t.stdout, strings.TrimRight(t.paint(severity, fit(mark, 7))+"  "+fit(r[0], wide[0])+"  "+t.paint(severity, fit(r[1], wide[1]))+"  "+r[2], " "))
		case i > 0:
			fmt.Fprintf(t.stdout, "%s  %s\n         Microsoft  %s\n         Sallyport  %s\n", t.paint(severity, fit(mark, 7)), r[0], t.paint(severity, r[1]), r[2])
		}
		if reason != "" {
			fmt.Fprintf(t.stdout, "         -> %s\n", reason)
		}
	}
}

func summary(v domain.View) string {
	n := 0
	for _, r := range v.Rows {
		if r.Severity > domain.Same {
			n++
		}
	}
	switch {
	case n == 0:
		return "both views agree"
	case n == 1:
		return "1 difference, " + v.Worst().String()
	default:
		return fmt.Sprintf("%d differences, the worst is %s", n, v.Worst())
	}
}

func fit(s string, n int) string { return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
