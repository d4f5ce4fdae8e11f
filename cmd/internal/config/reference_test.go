package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/docs/settings.md")

// TestReferenceMatchesTheCode holds deploy/docs/settings.md to the comments of the
// structs. To write it anew: go test ./cmd/internal/config -run Reference -update
func TestReferenceMatchesTheCode(t *testing.T) {
	r := reference{types: map[string]*ast.TypeSpec{}, docs: map[string]string{}}
	for _, name := range []string{"config.go", "directory.go", "acme.go", "graph.go", "signing.go", "claims.go", "saml.go", "pta.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				spec := g.Specs[0].(*ast.TypeSpec)
				r.types[spec.Name.Name], r.docs[spec.Name.Name] = spec, g.Doc.Text()
			}
		}
	}
	r.out.WriteString(`# Settings

<!-- Made from the comments in cmd/internal/config by its test; change them there. -->

One YAML file, read strictly: an unknown key, a key written twice, a value of
another type or an empty list is an error, reported with line and column, all of
them at once. Durations are written as ` + "`90s`, `15m` or `8h`" + `, sizes as ` + "`64KB`, `100MB` or `1GB`" + `.
Relative paths are meant from the file's own directory. Secrets never stand in the
file: keys that end in ` + "`_file`" + ` name a file (mode 0600), keys that end in ` + "`_env`" + ` an
environment variable.

[sallyport.minimal.yaml](../sallyport.minimal.yaml) is the least that works,
[sallyport.yaml](../sallyport.yaml) shows every key. ` + "`sallyport check --config F`" + ` judges a
file and what it names.
`)
	r.section("", "Config")
	for _, k := range r.silent {
		t.Errorf("the comment of %s does not say what holds without it", k)
	}
	path := filepath.Join(deploy, "docs", "settings.md")
	if *update {
		if err := os.WriteFile(path, r.out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, r.out.Bytes()) {
		t.Error("deploy/docs/settings.md is not what the code says; run go test ./cmd/internal/config -run Reference -update")
	}
}

// reference writes the manual of the structs.
type reference struct {
	types map[string]*ast.TypeSpec
	docs  map[string]string
	out   bytes.Buffer
	// silent are the settings whose comment does not say what holds without them.
	silent []string
}

func saysWhenAbsent(text string) bool {
	for _, word := range []string{"Default", "Required", "required", "instead", "Empty:"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// section writes a struct's own keys, then its sections.
func (r *reference) section(path, name string) {
	title := path
	if path == "" {
		title = "Top level"
	} else {
		title = "`" + path + "`"
	}
	fmt.Fprintf(&r.out, "\n## %s\n\n", title)
	if path != "" {
		_, about, _ := strings.Cut(strings.Join(strings.Fields(r.docs[name]), " "), " ")
		about = strings.TrimSuffix(strings.TrimPrefix(about, "is "), ".")
		fmt.Fprintf(&r.out, "%s%s.\n\n", strings.ToUpper(about[:1]), about[1:])
	}
	type child struct{ path, name string }
	var children []child
	for _, f := range r.types[name].Type.(*ast.StructType).Fields.List {
		if f.Tag == nil {
			continue
		}
		key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
		if key == "-" {
			continue
		}
		kind, inner := r.kind(f.Type)
		text := sentence(f.Names[0].Name, f.Doc.Text())
		if inner == "" && !saysWhenAbsent(text) {
			r.silent = append(r.silent, path+"."+key)
		}
		fmt.Fprintf(&r.out, "* **`%s`** (%s): %s\n", key, kind, text)
		if inner != "" {
			full := strings.TrimPrefix(path+"."+key, ".")
			if strings.HasPrefix(kind, "list") {
				full += "[]"
			}
			children = append(children, child{full, inner})
		}
	}
	for _, c := range children {
		r.section(c.path, c.name)
	}
}

// kind names a field's type in words, and the struct behind it.
func (r *reference) kind(e ast.Expr) (kind, inner string) {
	switch x := e.(type) {
	case *ast.ArrayType:
		k, in := r.kind(x.Elt)
		return "list of " + map[string]string{"text": "texts", "section": "entries", "network": "networks"}[k], in
	case *ast.MapType:
		return "text for each language", ""
	case *ast.SelectorExpr:
		return map[string]string{"Duration": "duration", "Prefix": "network"}[x.Sel.Name], ""
	case *ast.Ident:
		if _, ok := r.types[x.Name]; ok {
			return "section", x.Name
		}
		return map[string]string{"string": "text", "bool": "true or false", "int": "number", "Size": "size"}[x.Name], ""
	}
	return "?", ""
}

// sentence turns "Listen is the address…" into "the address…".
func sentence(field, doc string) string {
	text := strings.Join(strings.Fields(doc), " ")
	text = strings.TrimPrefix(text, field+" ")
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	return text
}
