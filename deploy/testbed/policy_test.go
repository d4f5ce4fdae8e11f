package testbed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sallyport"

// repo is the checkout's root as seen from this package.
const repo = "../.."

// listed is what these tests read of `go list -json`.
type listed struct {
	ImportPath  string
	Name        string
	Doc         string
	Dir         string
	Standard    bool
	GoFiles     []string
	Imports     []string
	Deps        []string
	TestImports []string
}

// goList runs go list with the arguments and decodes its stream.
func goList[T any](t *testing.T, args ...string) []T {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = repo
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var all []T
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var one T
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatalf("go list %v found nothing", args)
	}
	return all
}

// within reports whether path is the package tree or lies below it.
func within(path, tree string) bool {
	tree = module + "/" + tree
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func TestImportsPointOneWay(t *testing.T) {
	// tree: trees that none of its packages may reach.
	forbidden := map[string][]string{
		"authn":      {"federation", "ptaagent", "certs", "cmd", "deploy"},
		"federation": {"ptaagent", "certs", "cmd", "deploy"},
		"ptaagent":   {"federation", "certs", "cmd", "deploy"},
		"certs":      {"authn", "federation", "ptaagent", "cmd", "deploy"},
		"cmd":        {"deploy"},
	}
	checked := map[string]int{}
	for _, p := range goList[listed](t, "-json=ImportPath,Deps", "./...") {
		for tree, bad := range forbidden {
			if !within(p.ImportPath, tree) {
				continue
			}
			checked[tree]++
			for _, dep := range p.Deps {
				for _, b := range bad {
					if within(dep, b) {
						t.Errorf("%s reaches %s: imports point from cmd to federation and ptaagent to authn", p.ImportPath, dep)
					}
				}
			}
		}
	}
	for _, tree := range []string{"authn", "federation", "certs", "cmd"} {
		if checked[tree] == 0 {
			t.Errorf("no package below %s was seen; the test proves nothing", tree)
		}
	}
}

func TestTestDoublesDoNotImportWhatTheyJudge(t *testing.T) {
	for _, p := range goList[listed](t, "-json=ImportPath,Deps", "./...") {
		var judged string
		switch p.ImportPath {
		case module + "/authn/directory/directorytest":
			judged = module + "/authn/directory"
		case module + "/cmd/internal/m365sim":
			judged = module + "/federation"
		default:
			continue
		}
		for _, dep := range p.Deps {
			if dep == judged || strings.HasPrefix(dep, judged+"/") {
				t.Errorf("%s imports %s, which it judges", p.ImportPath, dep)
			}
		}
	}
}

func TestShippedBinaryHoldsNoTestCode(t *testing.T) {
	p := goList[listed](t, "-json=ImportPath,Deps", "./cmd/sallyport")[0]
	for _, dep := range p.Deps {
		ours := strings.HasPrefix(dep, module+"/")
		if dep == "testing" || strings.HasPrefix(dep, "testing/") ||
			ours && (strings.HasSuffix(dep, "test") || strings.HasSuffix(dep, "sim") || within(dep, "deploy")) {
			t.Errorf("the shipped binary contains %s", dep)
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range goList[listed](t, "-json=ImportPath,Name,Doc,GoFiles", "./...") {
		if len(p.GoFiles) > 0 && strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// module versions below these have failed in the ways that threats name.
var floor = map[string]string{
	"github.com/crewjam/saml":             "v0.6.3",
	"github.com/russellhaering/goxmldsig": "v1.6.1",
	"github.com/russellhaering/gosaml2":   "v0.12.0",
	"github.com/beevik/etree":             "v1.8.1",
	"github.com/go-ldap/ldap/v3":          "v3.4.15",
	"github.com/golang-jwt/jwt/v5":        "v5.3.1",
	"github.com/golang-jwt/jwt/v4":        "v4.5.2",
	"github.com/redis/go-redis/v9":        "v9.23.0",
	"github.com/gorilla/mux":              "v1.8.1",
	"github.com/jcmturner/gokrb5/v8":      "v8.4.4",
	"github.com/go-jose/go-jose/v4":       "v4.1.4",
	"golang.org/x/net":                    "v0.56.0",
	"golang.org/x/crypto":                 "v0.52.0",
	"golang.org/x/text":                   "v0.39.0",
	"github.com/gorilla/csrf":             "",
	"github.com/dgrijalva/jwt-go":         "",
	"github.com/golang-jwt/jwt":           "",
	"gopkg.in/square/go-jose.v2":          "",
}

// The Go release with the newest fixes that this product depends on.
const goFloor = "v1.26.6"

// TestV01_DependencyFloor holds every module that is built in, directly or not,
// at or above the version that fixed its known failures; an empty floor means
// that the module is not to be used at all.
func TestV01_DependencyFloor(t *testing.T) {
	all := goList[required](t, "-m", "-json", "all")
	faults, seen := belowFloor(t, all, runtime.Version())
	for _, fault := range faults {
		t.Error(fault)
	}
	if seen < 6 {
		t.Errorf("only %d modules of the floor table were seen; the test proves nothing", seen)
	}
}

func TestV01_WhatIsBelowTheFloorIsFound(t *testing.T) {
	first := required{Path: "github.com/redis/go-redis/v9", Version: floor["github.com/redis/go-redis/v9"]}
	if faults, seen := belowFloor(t, []required{first, {Path: "example.org/unknown", Version: "v0.0.1"}}, "go1.99.0"); len(faults) > 0 || seen != 1 {
		t.Errorf("%v, %d seen", faults, seen)
	}
	old, forbidden, replaced := first, first, first
	old.Version = "v9.7.2"
	forbidden.Path = "github.com/gorilla/csrf"
	replaced.Replace = &struct{ Path, Version string }{"../mine", ""}
	for what, m := range map[string]required{"old": old, "forbidden": forbidden, "replaced": replaced} {
		if faults, _ := belowFloor(t, []required{m}, "go1.99.0"); len(faults) != 1 || !strings.Contains(faults[0], m.Path) {
			t.Errorf("%s: %v", what, faults)
		}
	}
	for _, release := range []string{"go1.26.5", "go1.26.5-X:nocoverageredesign", "go1.25.12"} {
		if faults, _ := belowFloor(t, nil, release); len(faults) != 1 {
			t.Errorf("%s: %v", release, faults)
		}
	}
}

// required is what these tests read of go list -m.
type required struct {
	Path, Version string
	Replace       *struct{ Path, Version string }
}

// belowFloor returns what is wrong with the modules and the release of Go, and how
// many of the modules the table knows.
func belowFloor(t *testing.T, all []required, release string) (faults []string, seen int) {
	t.Helper()
	for _, m := range all {
		if m.Replace != nil {
			faults = append(faults, fmt.Sprintf("%s is replaced by %s %s", m.Path, m.Replace.Path, m.Replace.Version))
		}
		least, known := floor[m.Path]
		switch {
		case !known:
			continue
		case least == "":
			faults = append(faults, m.Path+" must not be used")
		case older(t, m.Version, least):
			faults = append(faults, fmt.Sprintf("%s %s is below the floor %s", m.Path, m.Version, least))
		}
		seen++
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(release, "go"), "-")
	if older(t, "v"+version, goFloor) {
		faults = append(faults, fmt.Sprintf("Go %s is below the floor %s", version, goFloor))
	}
	return faults, seen
}

func TestV01_OlderComparesByNumber(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"v1.9.0", "v1.10.0", true}, {"v1.10.0", "v1.9.0", false}, {"v1.6.1", "v1.6.1", false},
		{"v0.0.0-20240101-abc", "v0.0.1", true}, {"v1.6.1-rc1", "v1.6.1", true}, {"v2.0.0+incompatible", "v1.9.9", false},
		{"v1.26", "v1.26.6", true},
	} {
		if got := older(t, tc.a, tc.b); got != tc.want {
			t.Errorf("older(%s, %s) = %v", tc.a, tc.b, got)
		}
	}
}

// older compares two versions number by number; a pre-release counts as older
// than its release.
func older(t *testing.T, a, b string) bool {
	t.Helper()
	parse := func(s string) (numbers [3]int, pre bool) {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "+")
		s, rest, _ := strings.Cut(s, "-")
		for i, part := range strings.SplitN(s, ".", 3) {
			n, err := strconv.Atoi(part)
			if err != nil {
				t.Fatalf("version %q: %v", s, err)
			}
			numbers[i] = n
		}
		return numbers, rest != ""
	}
	na, preA := parse(a)
	nb, preB := parse(b)
	if c := slices.Compare(na[:], nb[:]); c != 0 {
		return c < 0
	}
	return preA && !preB
}

// TestV02_OfCrewjamOnlyTypes holds that none of that library's behaviour as an
// identity provider is used: it does not verify requests and pre-dates tokens.
func TestV02_OfCrewjamOnlyTypes(t *testing.T) {
	for _, file := range shippedFiles(t) {
		for _, name := range behaviour(t, file, nil) {
			t.Errorf("%s uses %s: of this library only its data types are used", file, name)
		}
	}
}

func TestV02_UseOfBehaviourIsFound(t *testing.T) {
	for source, want := range map[string][]string{
		`import "github.com/crewjam/saml"; var x saml.IdentityProvider`:        {"IdentityProvider"},
		`import lib "github.com/crewjam/saml"; var x = lib.NewIdpAuthnRequest`: {"NewIdpAuthnRequest"},
		`import . "github.com/crewjam/saml"`:                                   {"."},
		`import "github.com/crewjam/saml/samlsp"`:                              {"github.com/crewjam/saml/samlsp"},
		`import "github.com/crewjam/saml"; var x saml.EntityDescriptor`:        nil,
		`import saml "sallyport/federation/saml"; var x saml.ServiceProvider`:  nil,
	} {
		if got := behaviour(t, "x.go", "package x; "+source); !slices.Equal(got, want) {
			t.Errorf("%s: %v", source, got)
		}
	}
}

// behaviour returns what a file uses of crewjam/saml that is more than a data type.
func behaviour(t *testing.T, file string, source any) (used []string) {
	t.Helper()
	const library = "github.com/crewjam/saml"
	tree, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range tree.Imports {
		if path := strings.Trim(imp.Path.Value, `"`); strings.HasPrefix(path, library+"/") {
			used = append(used, path)
		}
	}
	name := importedAs(tree, library)
	switch name {
	case "":
		return used
	case ".":
		return append(used, ".")
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && slices.Contains([]string{
			"IdentityProvider", "IdpAuthnRequest", "DefaultAssertionMaker", "NewIdpAuthnRequest",
			"ServiceProvider", "ServeSSO", "ServeIDPInitiated", "ServeMetadata",
		}, sel.Sel.Name) {
			used = append(used, sel.Sel.Name)
		}
		return true
	})
	return used
}

// shippedFiles are the Go files that are no tests.
func shippedFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, p := range goList[listed](t, "-json=Dir,GoFiles", "./...") {
		for _, f := range p.GoFiles {
			files = append(files, filepath.Join(p.Dir, f))
		}
	}
	return files
}

// importedAs returns the name under which a file knows an import, or "".
func importedAs(file *ast.File, path string) string {
	for _, imp := range file.Imports {
		if strings.Trim(imp.Path.Value, `"`) != path {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		return path[strings.LastIndex(path, "/")+1:]
	}
	return ""
}

func TestTopLevelIsAsAgreed(t *testing.T) {
	allowed := []string{"cmd", "authn", "federation", "ptaagent", "certs", "deploy", "go.mod", "go.sum", "README.md", "LICENSE"}
	cmd := exec.Command("git", "ls-files")
	cmd.Dir = repo
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("left out: not a checkout: %v", err)
	}
	for path := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(path), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s is not of the agreed top level", strings.TrimSpace(path))
		}
	}
}
