package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// guard is one check of the product and the test that notices its absence.
type guard struct {
	row  string // of the threat catalogue, "X07"
	file string // relative to the module, with slashes
	in   string // the function of the check, "run" or "gate.run"; empty: the file's only place
	old  string // the check, found exactly once in there
	new  string // what stands in its place; empty: old's condition is never met
	pkg  string // folder of the test; empty: that of file
	test string // the test's name; "A/B" is a regular expression for a sub-test
	also edit   // a second place in the file, where one alone changes nothing
}

// edit is a further replacement in the file of a guard; its zero value is none.
type edit struct{ in, old, new string }

// of puts guards into a folder of the module.
func of(folder string, guards ...guard) []guard {
	for i := range guards {
		guards[i].file = path.Join(folder, guards[i].file)
	}
	return guards
}

// dir is the folder of the guard's test.
func (g guard) dir() string {
	if g.pkg != "" {
		return g.pkg
	}
	return path.Dir(g.file)
}

// function is the guard's test without the name of a sub-test.
func (g guard) function() string {
	name, _, _ := strings.Cut(g.test, "/")
	return name
}

// without returns the text of the guard's file with the guard taken out.
func (g guard) without(root string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(g.file)))
	if err != nil {
		return nil, fmt.Errorf("the guard has moved: %w", err)
	}
	text, err := apply(string(b), edit{g.in, g.old, g.new})
	if err == nil && g.also != (edit{}) {
		text, err = apply(text, g.also)
	}
	if err != nil {
		return nil, fmt.Errorf("the guard has moved: %s: %w", g.file, err)
	}
	return []byte(text), nil
}

// apply makes one replacement, of a text that stands once in its place.
func apply(text string, e edit) (string, error) {
	begin, end, err := place(text, e.in)
	if err != nil {
		return "", err
	}
	if n := strings.Count(text[begin:end], e.old); n != 1 {
		return "", fmt.Errorf("%s holds %d times %q", e.in, n, e.old)
	}
	replacement := e.new
	if replacement == "" {
		if replacement, err = never(e.old); err != nil {
			return "", err
		}
	}
	return text[:begin] + strings.Replace(text[begin:end], e.old, replacement, 1) + text[end:], nil
}

// place is where a function stands in the text of a file.
func place(text, function string) (begin, end int, err error) {
	if function == "" {
		return 0, len(text), nil
	}
	receiver, name := `(?:\([^)]*\) )?`, function
	if typ, method, ok := strings.Cut(function, "."); ok {
		receiver, name = `\((?:\w+ )?\*?`+typ+`\) `, method
	}
	found := regexp.MustCompile(`(?m)^func `+receiver+name+`[(\[]`).FindAllStringIndex(text, -1)
	if len(found) != 1 {
		return 0, 0, fmt.Errorf("%d functions %s", len(found), function)
	}
	begin = found[0][0]
	if line, _, _ := strings.Cut(text[begin:], "\n"); strings.HasSuffix(line, "}") {
		return begin, begin + len(line), nil
	}
	n := strings.Index(text[begin:], "\n}\n")
	if n < 0 {
		return 0, 0, fmt.Errorf("function %s has no end", function)
	}
	return begin, begin + n, nil
}

// condition is the head of an if statement or of a case, with what stands before
// its condition and behind it.
var condition = regexp.MustCompile(`(?s)^((?:\} else )?if (?:.*; )?|case )(.+)( \{|:)$`)

// never writes the head of an if statement or a case so that it is not taken.
func never(old string) (string, error) {
	parts := condition.FindStringSubmatch(old)
	if parts == nil {
		return "", errors.New("what is left without the guard is not said: " + old)
	}
	return parts[1] + "false && (" + parts[2] + ")" + parts[3], nil
}

// testExists finds the declaration of the guard's test in its folder, and whether
// its name tells the row.
func (g guard) testExists(root string) error {
	if !strings.Contains(g.function(), g.row+"_") {
		return fmt.Errorf("the test %s does not name the row", g.function())
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(g.dir()), "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+g.function()+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("no test %s in %s", g.function(), g.dir())
}

// table is every guard, by area.
func table() []guard {
	return slices.Concat(xmlGuards(), samlGuards(), tokenGuards(), doorGuards(), peopleGuards(), edgeGuards(), sessionGuards(), keyGuards(), agentGuards(), operationGuards())
}

// open returns the rows that have neither a guard nor a reason, and those that have
// both.
func open(guards []guard) (missing, superfluous []string) {
	has := map[string]bool{}
	for _, g := range guards {
		has[g.row] = true
	}
	why := reasons()
	for _, row := range rows() {
		switch {
		case !has[row] && why[row] == "":
			missing = append(missing, row)
		case has[row] && why[row] != "":
			superfluous = append(superfluous, row)
		}
	}
	return missing, superfluous
}
