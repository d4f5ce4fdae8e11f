package directory_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestD02_DangerousCallsAreNotLinked reads this package's own source: what lets
// somebody in without a password, switches verification off, prints a password or
// builds a filter by hand is not there to be called by mistake.
func TestD02_DangerousCallsAreNotLinked(t *testing.T) {
	banned := map[string]string{
		"UnauthenticatedBind": "binds without a password", "AllowEmptyPassword": "binds without a password",
		"NTLMBind": "another way in", "InsecureSkipVerify": "no certificate check", "DialURL": "no deadline",
		"Debug": "prints passwords", "SearchWithPaging": "unbounded", "StartTLS": "handshake without deadline",
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		name := f.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if why, bad := banned[n.Sel.Name]; bad {
					t.Errorf("%s uses %s: %s", name, n.Sel.Name, why)
				}
				if n.Sel.Name == "EscapeFilter" {
					seen++
					if name != "filter.go" {
						t.Errorf("%s escapes a filter value: only filter.go does", name)
					}
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && banned[k.Name] != "" {
					t.Errorf("%s sets %s: %s", name, k.Name, banned[k.Name])
				}
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Filter" {
					if c, ok := n.Value.(*ast.CallExpr); !ok || !isString(c) {
						t.Errorf("%s: a filter that is not made by the builder", name)
					}
				}
			}
			return true
		})
	}
	if seen != 1 {
		t.Errorf("EscapeFilter is used %d times, want once", seen)
	}
}

// isString reports a conversion string(x) of a builder's filter.
func isString(c *ast.CallExpr) bool {
	id, ok := c.Fun.(*ast.Ident)
	return ok && id.Name == "string" && len(c.Args) == 1
}
