package config_test

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"sallyport/cmd/internal/config"
)

// leaf is one key of the full example.
type leaf struct {
	path       string
	depth      int
	key, value *yaml.Node
	parent     *yaml.Node
}

// leaves returns every key of a document, sections included.
func leaves(n *yaml.Node, path string) []leaf { return leavesFrom(n, path, 0) }

func leavesFrom(n *yaml.Node, path string, depth int) (list []leaf) {
	switch n.Kind {
	case yaml.DocumentNode:
		return leavesFrom(n.Content[0], "", 0)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			full := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
			list = append(list, leaf{full, depth, n.Content[i], n.Content[i+1], n})
			list = append(list, leavesFrom(n.Content[i+1], full, depth+1)...)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			list = append(list, leavesFrom(c, path+"[]", depth)...)
		}
	}
	return list
}

// tree parses the full example anew.
func tree(t testing.TB, data []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// clone copies a tree.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = clone(child)
	}
	return &c
}

func text(t testing.TB, n *yaml.Node) []byte {
	b, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func scalar(value, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Tag: tag}
}

var equal = cmp.Options{cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateComparable(netip.Prefix{})}

// nonsense are changes of a key that make no sense, whatever the key.
func nonsense() map[string]func(l leaf) {
	return map[string]func(l leaf){
		"misspelt key":      func(l leaf) { l.key.Value += "x" },
		"key in upper case": func(l leaf) { l.key.Value = strings.ToUpper(l.key.Value) },
		"key with a dash":   func(l leaf) { l.key.Value = "-" + l.key.Value },
		"doubled key":       func(l leaf) { l.parent.Content = append(l.parent.Content, l.key, l.value) },
		"null":              func(l leaf) { *l.value = *scalar("null", "!!null") },
		"nothing":           func(l leaf) { *l.value = *scalar("", "!!null") },
		"empty text": func(l leaf) {
			*l.value = yaml.Node{Kind: yaml.ScalarNode, Value: "", Tag: "!!str", Style: yaml.DoubleQuotedStyle}
		},
		"empty list":    func(l leaf) { *l.value = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle} },
		"empty mapping": func(l leaf) { *l.value = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle} },
		"list in a list": func(l leaf) {
			*l.value = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{scalar("x", "!!str")}}}}
		},
		"foreign mapping": func(l leaf) {
			*l.value = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar("xyz", "!!str"), scalar("1", "!!int")}}
		},
		"tag":      func(l leaf) { l.value.Tag, l.value.Style = "!secret", l.value.Style|yaml.TaggedStyle },
		"anchor":   func(l leaf) { l.value.Anchor = "a" },
		"negative": func(l leaf) { *l.value = *scalar("-1", "!!int") },
		"fraction": func(l leaf) { *l.value = *scalar("1.5", "!!float") },
		"date":     func(l leaf) { *l.value = *scalar("2026-12-01", "!!timestamp") },
		"line feed": func(l leaf) {
			*l.value = yaml.Node{Kind: yaml.ScalarNode, Value: "a\nb", Tag: "!!str", Style: yaml.DoubleQuotedStyle}
		},
		"direction mark": func(l leaf) {
			*l.value = yaml.Node{Kind: yaml.ScalarNode, Value: "a\u202eb", Tag: "!!str", Style: yaml.DoubleQuotedStyle}
		},
		"private key": func(l leaf) { *l.value = *scalar("-----BEGIN PRIVATE KEY-----", "!!str") },
	}
}

// equivalent are changes of a key that mean the same.
func equivalent() map[string]func(l leaf) {
	return map[string]func(l leaf){
		"as it is": func(leaf) {},
		"quotes": func(l leaf) {
			if l.value.Kind == yaml.ScalarNode && l.value.Tag == "!!str" {
				l.value.Style = yaml.SingleQuotedStyle
			}
		},
		"flow style": func(l leaf) {
			if l.value.Kind != yaml.ScalarNode {
				l.value.Style = yaml.FlowStyle
			}
		},
		"moved to the front": func(l leaf) {
			i := slices.Index(l.parent.Content, l.key)
			l.parent.Content = append([]*yaml.Node{l.key, l.value}, slices.Delete(slices.Clone(l.parent.Content), i, i+2)...)
		},
	}
}

// level returns the keys that lie in depth sections.
func level(all []leaf, depth int) (list []leaf) {
	for _, l := range all {
		if l.depth == depth {
			list = append(list, l)
		}
	}
	return list
}

// TestO02_MutatedFieldIsRefusedOrHasItsEffect changes the keys of the full example
// in many ways, all keys of one depth at a time. A change that makes no sense must
// be refused, each at its line; one that means the same must leave the settings
// equal.
func TestO02_MutatedFieldIsRefusedOrHasItsEffect(t *testing.T) {
	data := read(t, "sallyport.yaml")
	base, err := config.Parse("base", data)
	if err != nil {
		t.Fatal(err)
	}
	original := tree(t, data)
	all := leaves(original, "")
	if len(all) < 100 {
		t.Fatalf("the example has only %d keys", len(all))
	}
	for name, change := range nonsense() {
		for depth := 0; len(level(all, depth)) > 0; depth++ {
			doc := clone(original)
			for _, l := range level(leaves(doc, ""), depth) {
				change(l)
			}
			written := text(t, doc)
			var refused *config.Error
			_, err := config.Parse("f", written)
			if !errors.As(err, &refused) {
				t.Errorf("depth %d: %s was accepted: %v", depth, name, err)
				continue
			}
			lines := map[int]bool{}
			for _, p := range refused.Problems {
				lines[p.Line] = true
			}
			type place struct {
				section *yaml.Node
				path    string
			}
			told := map[place]bool{} // of a doubled key it is the second one
			for _, l := range level(leaves(tree(t, written), ""), depth) {
				p := place{l.parent, l.path}
				told[p] = told[p] || lines[l.key.Line] || lines[l.value.Line]
			}
			if len(told) == 0 {
				t.Errorf("depth %d: %s: no key was looked at", depth, name)
			}
			for p, ok := range told {
				if !ok {
					t.Errorf("%s: %s was accepted", p.path, name)
				}
			}
		}
	}
	for name, change := range equivalent() {
		doc := clone(original)
		for _, l := range leaves(doc, "") {
			change(l)
		}
		got, err := config.Parse("f", text(t, doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(base, got, equal); diff != "" {
			t.Errorf("%s changes the settings:\n%s", name, diff)
		}
	}
}

// TestO02_EachMutatedFieldIsRefusedByItself is the same for one key at a time, when
// nothing else in the file is wrong: of the pairs of key and change every 37th,
// with SALLYPORT_LONG=1 all of them.
func TestO02_EachMutatedFieldIsRefusedByItself(t *testing.T) {
	data := read(t, "sallyport.yaml")
	base, err := config.Parse("base", data)
	if err != nil {
		t.Fatal(err)
	}
	every := 37
	if os.Getenv("SALLYPORT_LONG") == "1" { // deploy/testbed/run --long
		every = 1
	}
	original := tree(t, data)
	refused, same := nonsense(), equivalent()
	names := slices.Sorted(maps.Keys(refused))
	names = append(names, slices.Sorted(maps.Keys(same))...)
	for i, l := range leaves(original, "") {
		for k, name := range names {
			if (i*len(names)+k)%every != 0 {
				continue
			}
			doc := clone(original)
			change, wrong := refused[name]
			if !wrong {
				change = same[name]
			}
			change(leaves(doc, "")[i])
			got, err := config.Parse("f", text(t, doc))
			switch {
			case wrong && err == nil:
				t.Errorf("%s: %s was accepted", l.path, name)
			case wrong:
			case err != nil:
				t.Errorf("%s: %s: %v", l.path, name, err)
			default:
				if diff := cmp.Diff(base, got, equal); diff != "" {
					t.Errorf("%s: %s changes the settings:\n%s", l.path, name, diff)
				}
			}
		}
	}
}

// TestO02_ExampleNamesEveryKey holds the full example to the structs: a setting
// that it does not show is one that nobody finds.
func TestO02_ExampleNamesEveryKey(t *testing.T) {
	shown := map[string]bool{}
	for _, l := range leaves(tree(t, read(t, "sallyport.yaml")), "") {
		shown[l.path] = true
	}
	// Alternatives of what the example shows.
	for _, k := range []string{
		"tls.generate", "tls.plain_http", "tls.acme", "tls.acme.agree_terms", "tls.acme.cache_dir", "tls.acme.email",
		"tls.acme.directory_url", "tls.acme.ca_file", "tls.acme.http_listen", "directory.service_account.password_env", "sessions.redis.password_env", "sessions.secret_env",
		"microsoft365.graph.client_secret_file", "microsoft365.graph.client_secret_env",
		"signing.pkcs11", "signing.pkcs11.module_file", "signing.pkcs11.token", "signing.pkcs11.pin_file",
	} {
		if shown[k] {
			t.Errorf("%s is shown and listed as an alternative", k)
		}
		shown[k] = true
	}
	for _, k := range config.Keys() {
		// The rules of parties that are found are written like those of all others.
		k = strings.Replace(k, "metadata_query.claims[]", "relying_parties[].claims[]", 1)
		if !shown[k] {
			t.Errorf("the example does not show %s", k)
		}
	}
}

func FuzzParse(f *testing.F) {
	full, minimal := read(f, "sallyport.yaml"), read(f, "sallyport.minimal.yaml")
	f.Add(full)
	f.Add(minimal)
	for _, s := range []string{"", "a", "a: b", "- a", "a: &x [*x]", "a: !!binary x", "? [a]\n: b", "--- {}\n--- {}", "\t", "public_url: \xff", "<<: {a: 1}", "listen: 0x10", "tls: {generate: yes}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("f", data)
		if err != nil {
			list := config.Problems(err)
			if c != nil || len(list) == 0 {
				t.Fatalf("settings %v with %d problems", c != nil, len(list))
			}
			for _, p := range list {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("problem without a place or message: %+v", p)
				}
			}
			return
		}
		// What is accepted holds for itself: judged again it is still good, and
		// nothing in it changes.
		again := *c
		if err := again.Validate(); err != nil {
			t.Errorf("accepted, and then: %v", err)
		}
		if !reflect.DeepEqual(*c, again) {
			t.Error("judging changes the settings")
		}
	})
}
