package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "rows to prove, by comma: X07,T03 (empty: all)")
	flag.DurationVar(&o.budget, "for", 0, "begin no guard after this time; others at each commit (0: all)")
	flag.IntVar(&o.turn, "turn", -1, "with -for: where in the table to begin, as an earlier run printed it (-1: by the commit)")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "how many guards at a time")
	list := flag.Bool("list", false, "print the table and run nothing")
	flag.Parse()
	if flag.NArg() > 0 || o.jobs < 1 {
		fmt.Fprintln(os.Stderr, "guards: no argument is taken, and -jobs is 1 or more; -help says more")
		os.Exit(2)
	}
	if *list {
		printTable(os.Stdout)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := proveAll(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		os.Exit(1)
	}
}

type options struct {
	only   string
	budget time.Duration
	turn   int
	jobs   int
}

func printTable(out io.Writer) {
	for _, g := range table() {
		fmt.Fprintf(out, "%s  %s %s: %s in %s\n", g.row, g.file, g.in, g.test, g.dir())
	}
	why := reasons()
	for _, row := range blocking() {
		if why[row] != "" {
			fmt.Fprintf(out, "%s  no guard: %s\n", row, why[row])
		}
	}
}

// proveAll takes out the wanted guards and prints a line for each. The error counts
// those that are not proven.
func proveAll(ctx context.Context, out io.Writer, o options) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "sallyport-guards-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	wanted := slices.DeleteFunc(table(), func(g guard) bool { return !isWanted(o.only, g.row) })
	if len(wanted) == 0 {
		return fmt.Errorf("the table has no row %s", o.only)
	}
	first := 0
	wanted, _ = arranged(wanted, 0, nil)
	if o.budget > 0 {
		if o.turn < 0 {
			o.turn = turnOf(ctx, root)
		}
		wanted, first = arranged(wanted, o.turn, changedFiles(ctx, root))
		fmt.Fprintf(out, "turn %d: %d guards whose file or test the last commit changed, then the table from %s on; the same again with -turn %d\n",
			o.turn, first, wanted[first%len(wanted)].row, o.turn)
	}
	t := tally{out: out, total: len(wanted)}
	j := &judge{root: root, scratch: scratch, guards: wanted, intact: map[string]*intact{}}
	t.proveEach(ctx, j, first, o)
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.only == "" {
		missing, _ := open(table())
		for _, row := range missing {
			fmt.Fprintf(out, "%s has no guard and no reason\n", row)
		}
		t.bad += len(missing)
	}
	fmt.Fprintf(out, "%d guards: %d proven, %d not, %d left out for want of the lab, %d not begun in this time; %d rows have a reason instead\n",
		t.total, t.proven, t.bad, t.leftOut, t.total-t.begun, len(reasons()))
	if t.bad > 0 {
		return fmt.Errorf("%d not proven", t.bad)
	}
	return nil
}

// tally is what came out so far.
type tally struct {
	out io.Writer

	mu                                 sync.Mutex
	total, begun, proven, bad, leftOut int
}

// proveEach shares the guards among goroutines. The first of them are taken in
// their order; of the others each goroutine begins at a place of its own, so that
// no two build the tests of one folder at the same time, and goes round.
func (t *tally) proveEach(ctx context.Context, j *judge, first int, o options) {
	begin := time.Now()
	rest := len(j.guards) - first
	taken := make([]atomic.Bool, len(j.guards))
	var workers sync.WaitGroup
	for worker := range o.jobs {
		workers.Go(func() {
			for n := range len(j.guards) {
				i := n
				if n >= first {
					i = first + (n-first+worker*rest/o.jobs)%rest
				}
				if ctx.Err() != nil || o.budget > 0 && time.Since(begin) > o.budget {
					return
				}
				if taken[i].Swap(true) {
					continue
				}
				start := time.Now()
				err := j.prove(ctx, j.guards[i])
				if ctx.Err() == nil {
					t.note(j.guards[i], time.Since(start), err)
				}
			}
		})
	}
	workers.Wait()
}

func (t *tally) note(g guard, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	verdict := "fails without it"
	switch {
	case errors.Is(err, errLeftOut):
		t.leftOut++
		verdict = err.Error()
	case err != nil:
		t.bad++
		verdict = "NOT PROVEN: " + err.Error() + "\n    " + g.old
	default:
		t.proven++
	}
	fmt.Fprintf(t.out, "%3d/%d %s %5.1fs  %s %s: %s %s\n", t.begun, t.total, g.row, took.Seconds(), g.file, g.in, g.test, verdict)
}

func isWanted(only, row string) bool {
	if only == "" {
		return true
	}
	for one := range strings.SplitSeq(only, ",") {
		if strings.EqualFold(strings.TrimSpace(one), row) {
			return true
		}
	}
	return false
}

// moduleRoot is the folder of the go.mod that the command runs under.
func moduleRoot(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	file := strings.TrimSpace(string(text))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("run this inside the module")
	}
	return filepath.Dir(file), nil
}
