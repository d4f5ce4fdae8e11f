package main

import (
	"context"
	"math"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
)

// arranged puts guards into the order in which they are proven: first those whose
// file, or a test of whose folder, is among the changed files, then folder by folder
// the others, beginning at a place that depends on the turn. It returns how many
// come first.
func arranged(guards []guard, turn int, changed []string) (all []guard, first int) {
	var others []guard
	for _, g := range guards {
		if slices.ContainsFunc(changed, g.concerns) {
			all = append(all, g)
		} else {
			others = append(others, g)
		}
	}
	byFolder := func(a, b guard) int { return strings.Compare(a.dir(), b.dir()) }
	slices.SortStableFunc(all, byFolder)
	slices.SortStableFunc(others, byFolder)
	begin := int(share(turn) * float64(len(others)))
	return slices.Concat(all, others[begin:], others[:begin]), len(all)
}

// concerns reports whether a change of file may be one of the guard or of its test.
func (g guard) concerns(file string) bool {
	return file == g.file || strings.HasSuffix(file, "_test.go") && path.Dir(file) == g.dir()
}

// share spreads turns over [0, 1): the multiples of the golden ratio fill it evenly
// whether each turn is taken or each third, so that runs that have the time for a
// part of the table come round to the whole of it.
func share(turn int) float64 {
	_, fraction := math.Modf(float64(turn) * math.Phi)
	return fraction
}

// turnOf is the number of commits up to this one. Where git does not know it, since
// the history was cut off, the time of the commit does; without git it is 0.
func turnOf(ctx context.Context, root string) int {
	args := []string{"rev-list", "--count", "HEAD"}
	if said, err := git(ctx, root, "rev-parse", "--is-shallow-repository"); err == nil && said == "true" {
		args = []string{"log", "-1", "--format=%ct"}
	}
	said, err := git(ctx, root, args...)
	if err != nil {
		return 0
	}
	turn, err := strconv.Atoi(said)
	if err != nil {
		return 0
	}
	return turn
}

// changedFiles are those that differ from the commit before, none without git.
func changedFiles(ctx context.Context, root string) []string {
	said, err := git(ctx, root, "diff", "--name-only", "--relative", "HEAD~1")
	if err != nil {
		return nil
	}
	return strings.Fields(said)
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir = root
	out, err := command.Output()
	return strings.TrimSpace(string(out)), err
}
