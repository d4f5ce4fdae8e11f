package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/deploy/testbed/lab"
)

const module = "../../.."

func TestEveryGuardStillStands(t *testing.T) {
	guards := table()
	if len(guards) == 0 {
		t.Fatal("the table is empty")
	}
	seen := map[guard]bool{}
	for _, g := range guards {
		if seen[g] {
			t.Errorf("%s: %s %s is listed twice: %q", g.row, g.file, g.in, g.old)
		}
		seen[g] = true
		if _, err := g.without(module); err != nil {
			t.Errorf("%s\n%v\n%s", entry(g), err, advice(g))
		}
		if err := g.testExists(module); err != nil {
			t.Errorf("%s\n%v\nPut the name of the test that holds %s now into the entry (test, and pkg where it is in another folder),\nthen see it fail: go run ./deploy/testbed/guards -only %s", entry(g), err, g.row, g.row)
		}
	}
}

// entry says which line of the table a guard is.
func entry(g guard) string {
	first, _, _ := strings.Cut(g.old, "\n")
	files, _ := filepath.Glob("*.go")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, _ := os.ReadFile(name)
		for n, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, `row: "`+g.row+`"`) && strings.Contains(line, g.test) && strings.Contains(line, first) {
				return fmt.Sprintf("deploy/testbed/guards/%s:%d, a guard of %s that %s notices:", name, n+1, g.row, g.test)
			}
		}
	}
	return fmt.Sprintf("a guard of %s that %s notices:", g.row, g.test)
}

// advice is for whoever moved or changed a check.
func advice(g guard) string {
	var b strings.Builder
	for _, at := range whereNow(g.old) {
		fmt.Fprintf(&b, "Its text stands in %s: put that into file and in.\n", at)
	}
	fmt.Fprintf(&b, "Where the check was rewritten, put its new text into old (and new, unless it is the head of an if or a case);\n"+
		"where another check holds the rule now, let the entry name that one. Then see the test fail without it:\n"+
		"    go run ./deploy/testbed/guards -only %s\n"+
		"An entry goes only with the rule: without the check, what still keeps the attack of row %s out?", g.row, g.row)
	return b.String()
}

var function = regexp.MustCompile(`(?m)^func (?:\((?:\w+ )?\*?(\w+)[^)]*\) )?(\w+)`)

// whereNow finds a text in the product, as "file function".
func whereNow(old string) []string {
	var found []string
	_ = filepath.WalkDir(module, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != module || name == filepath.Join(module, "deploy")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		before, _, there := strings.Cut(string(text), old)
		if !there {
			return nil
		}
		in := "outside functions"
		if all := function.FindAllStringSubmatch(before, -1); all != nil {
			in = strings.TrimPrefix(all[len(all)-1][1]+"."+all[len(all)-1][2], ".")
		}
		rel, err := filepath.Rel(module, name)
		found = append(found, filepath.ToSlash(rel)+" "+in)
		return err
	})
	return found
}

func TestAMovedGuardIsExplained(t *testing.T) {
	g := guard{row: "X07", file: "federation/internal/xmlsec/gate.go", in: "elsewhere", old: `if len(g.in) > g.rules.MaxBytes {`, test: "TestX07_LimitsAreExact"}
	_, err := g.without(module)
	if err == nil {
		t.Fatal("a function that is not there is found")
	}
	said := entry(g) + "\n" + err.Error() + "\n" + advice(g)
	for _, want := range []string{"guards/xml.go:", "elsewhere", "stands in federation/internal/xmlsec/gate.go gate.run", "-only X07"} {
		if !strings.Contains(said, want) {
			t.Errorf("not said: %s\n%s", want, said)
		}
	}
}

// TestBlockingRowsAreThoseOfTheCatalogue reads which rows the threat catalogue calls
// P0, so that none is forgotten here.
func TestBlockingRowsAreThoseOfTheCatalogue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(lab.Vectors(t), "..", "..", "protocols", "threats.md"))
	if err != nil {
		if lab.Wanted() {
			t.Fatal(err)
		}
		lab.Skip(t, "needs the threat catalogue beside the test vectors")
	}
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^(?:\| ([A-Z]\d{2}) \| P0 \||\*\*([A-Z]\d{2}) \(P0\))`).FindAllStringSubmatch(string(text), -1) {
		want = append(want, m[1]+m[2])
	}
	have := blocking()
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the catalogue's P0 rows (-) and those of rows.go (+): %s", diff)
	}
}

func TestEveryBlockingRowHasAGuardOrAReason(t *testing.T) {
	missing, superfluous := open(table())
	for _, row := range missing {
		t.Errorf("%s has neither a guard nor a reason", row)
	}
	for _, row := range superfluous {
		t.Errorf("%s has a guard, so its reason has to go", row)
	}
	for row := range reasons() {
		if !slices.Contains(blocking(), row) {
			t.Errorf("%s has a reason and blocks nothing", row)
		}
	}
	for _, g := range table() {
		if !slices.Contains(rows(), g.row) {
			t.Errorf("%s has a guard and is not listed in rows.go", g.row)
		}
	}
}

// TestNoTicketIsTakenWithoutItsGuards holds the reason of the K rows true.
func TestNoTicketIsTakenWithoutItsGuards(t *testing.T) {
	for row, why := range reasons() {
		if !strings.HasPrefix(row, "K") {
			t.Errorf("%s: nothing holds this reason true: %s", row, why)
		}
	}
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range []string{"krb5", "spnego", "gssapi", "sspi"} {
		if strings.Contains(string(text), library) {
			t.Errorf("go.mod has %s: the rows K01 to K05 need guards now", library)
		}
	}
	for _, at := range whereNow(`"Negotiate`) {
		t.Errorf("%s answers with Negotiate: the rows K01 to K05 need guards now", at)
	}
}

func TestConditionsAreTakenOut(t *testing.T) {
	for old, want := range map[string]string{
		`if a || b {`:                    `if false && (a || b) {`,
		`if err := f(x); err != nil {`:   `if err := f(x); false && (err != nil) {`,
		`} else if n := f(); n != "{" {`: `} else if n := f(); false && (n != "{") {`,
		`case a && b:`:                   `case false && (a && b):`,
	} {
		if got, err := never(old); err != nil || got != want {
			t.Errorf("%q becomes %q, %v", old, got, err)
		}
	}
	if _, err := never("return x"); err == nil {
		t.Error("a statement without a condition has nothing in its place")
	}
}

func TestVerdictsAreReadFromWhatGoTestPrints(t *testing.T) {
	got := outcomes("=== RUN   TestA\n--- FAIL: TestA (0.01s)\n    --- FAIL: TestA/x (0.00s)\n--- SKIP: TestB (0.00s)\n--- PASS: TestC (0.00s)\n")
	if diff := cmp.Diff(map[string]string{"TestA": "FAIL", "TestB": "SKIP", "TestC": "PASS"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAPartOfTheTableComesRoundToTheWhole(t *testing.T) {
	all := table()
	third := len(all) / 3
	for _, stride := range []int{1, 2, 3, 5, 7, 10} {
		seen := map[guard]bool{}
		for run := range 10 {
			sample, first := arranged(all, 1500+run*stride, nil)
			if first != 0 || len(sample) != len(all) {
				t.Fatalf("%d guards, %d of them first", len(sample), first)
			}
			for _, g := range sample[:third] {
				seen[g] = true
			}
		}
		if len(seen) < len(all) {
			t.Errorf("ten runs of a third, one each %d commits: %d of %d guards had their turn", stride, len(seen), len(all))
		}
	}
	again, _ := arranged(all, 1500, nil)
	if first, _ := arranged(all, 1500, nil); !slices.Equal(first, again) {
		t.Error("two orders of one turn")
	}
}

func TestGuardsOfWhatChangedComeFirst(t *testing.T) {
	all, first := arranged(table(), 7, []string{"federation/web/trust.go", "certs/certs_test.go", "README.md"})
	if first == 0 || first == len(all) {
		t.Fatalf("%d of %d", first, len(all))
	}
	for i, g := range all {
		if changed := g.file == "federation/web/trust.go" || g.dir() == "certs"; changed != (i < first) {
			t.Errorf("place %d of %d: %s %s", i, first, g.file, g.dir())
		}
	}
}

func TestEachGuardIsTakenOnce(t *testing.T) {
	for _, jobs := range []int{1, 2, 5} {
		for _, first := range []int{0, 3, 6} {
			var out strings.Builder
			tl := tally{out: &out, total: 6}
			guards := make([]guard, 6)
			for i := range guards {
				guards[i] = guard{row: fmt.Sprintf("row%d", i), file: "missing.go"}
			}
			tl.proveEach(t.Context(), &judge{root: t.TempDir(), guards: guards}, first, options{jobs: jobs})
			for _, g := range guards {
				if n := strings.Count(out.String(), g.row); n != 1 {
					t.Errorf("%d at a time, %d first: %s %d times", jobs, first, g.row, n)
				}
			}
		}
	}
}
