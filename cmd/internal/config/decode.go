package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the settings file; a real one has a few kilobytes.
const maxFile = 1 << 20

// Size is a number of bytes, written as 100MB, 64KB or 1GB (powers of ten).
type Size int64

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	sizeType     = reflect.TypeFor[Size]()
	serverType   = reflect.TypeFor[Server]()
)

// decoder walks the YAML tree and the Go structs together.
type decoder struct{ problems }

// decode reads data into c and returns what is wrong with it.
func decode(data []byte, c *Config) *decoder {
	d := &decoder{problems{at: map[string]position{"": {1, 1}}}}
	switch {
	case len(data) > maxFile:
		d.add("", "the file is larger than %d bytes, which no settings are: name the settings file itself", maxFile)
		return d
	case !utf8.Valid(data):
		d.notText(data)
		return d
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		d.add("", "the file is empty: begin with deploy/sallyport.minimal.yaml, which has what a working one needs")
		return d
	case err != nil:
		d.syntax(err)
		return d
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			d.syntax(err)
		} else {
			d.list = append(d.list, Problem{Line: second.Line, Column: second.Column, Message: "a second document (---): the settings are one document"})
		}
	}
	d.value(doc.Content[0], reflect.ValueOf(c).Elem(), "")
	return d
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxHints say what people have usually done where the YAML library says so.
var syntaxHints = map[string]string{
	"cannot start any token":   " (tabs do not indent; text that begins with @, ` or % needs quotes)",
	"unexpected end of stream": " (a quote or a bracket that was opened is not closed)",
	"unknown anchor":           " (text that begins with * needs quotes; anchors and aliases are not used in this file)",
	"mapping values":           " (a value that contains a colon and a space needs quotes; keys of one level begin in one column)",
	"did not find expected":    " (keys of one level begin in one column; a list's items begin with \"- \")",
}

// notText says where a file stops being UTF-8.
func (d *decoder) notText(data []byte) {
	p := Problem{Line: 1, Column: 1, Message: "is not a text in UTF-8: save the file as UTF-8 (without a byte order mark)"}
	if !bytes.HasPrefix(data, []byte("\xff\xfe")) && !bytes.HasPrefix(data, []byte("\xfe\xff")) { // not UTF-16 as a whole
		n := 0
		for r, size := utf8.DecodeRune(data); r != utf8.RuneError || size != 1; r, size = utf8.DecodeRune(data[n:]) {
			n += size
		}
		p.Line = 1 + bytes.Count(data[:n], []byte("\n"))
		p.Column = n - bytes.LastIndexByte(data[:n], '\n')
	}
	d.list = append(d.list, p)
}

// syntax turns the YAML library's error into a problem with a place.
func (d *decoder) syntax(err error) {
	p := Problem{Line: 1, Column: 1, Message: "not YAML: " + err.Error()}
	if m := syntaxLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " ")); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			p.Line = n
		}
		p.Message = "not YAML: " + m[2]
		for cause, hint := range syntaxHints {
			if strings.Contains(m[2], cause) {
				p.Message += hint
			}
		}
	}
	d.list = append(d.list, p)
}

// value decodes n into v, whose key is path.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if path != "" {
		if _, ok := d.at[path]; !ok {
			d.at[path] = position{n.Line, n.Column}
		}
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.here(n, path, "anchors (&) and aliases (*) are not used in this file: write the value out")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.here(n, path, "tags (!) are not used in this file: write the plain value")
		return
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		d.here(n, path, "has no value: give it one, or take the line out")
		return
	}
	switch v.Type() {
	case serverType:
		if n.Kind == yaml.ScalarNode {
			d.scalar(n, v.FieldByName("URL"), path)
			return
		}
	case groupValueType:
		if n.Kind == yaml.ScalarNode {
			d.scalar(n, v.FieldByName("Group"), path)
			return
		}
	case durationType, sizeType, prefixType:
		d.scalar(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Map:
		d.texts(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) here(n *yaml.Node, path, format string, args ...any) {
	d.list = append(d.list, Problem{Line: n.Line, Column: n.Column, Key: path, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.here(n, path, "needs keys below it (%s), not %s", strings.Join(keysOf(v.Type()), ", "), kindOf(n))
		return
	}
	if len(n.Content) == 0 {
		d.here(n, path, "is empty: give it keys, or take it out")
	}
	d.each(n, path, func(key, value *yaml.Node, full string) {
		if field, ok := fieldOf(v, key.Value); ok {
			d.at[full] = position{key.Line, key.Column}
			d.value(value, field, full)
			return
		}
		d.here(key, full, "%s", unknown(v.Type(), path, key.Value))
	})
}

// texts decodes a map from language to text.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.here(n, path, "needs a text for each language, for example {en: \"…\", de: \"…\"}, not %s", kindOf(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.each(n, path, func(key, value *yaml.Node, full string) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.at[full] = position{key.Line, key.Column}
		d.value(value, item, full)
		v.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
}

// each calls f for each key of a mapping that is a plain text and stands there
// for the first time.
func (d *decoder) each(n *yaml.Node, path string, f func(key, value *yaml.Node, full string)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			d.here(key, path, "a key must be a plain word")
			continue
		}
		full := join(path, key.Value)
		if before, ok := first[key.Value]; ok {
			d.here(key, full, "is written twice (first in line %d): keep one of the two", before.Line)
			continue
		}
		first[key.Value] = key
		f(key, value, full)
	}
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.here(n, path, "needs a list (one item a line, each after \"- \"), not %s", kindOf(n))
		return
	}
	if len(n.Content) == 0 {
		d.here(n, path, "is an empty list, which could be read as everybody or as nobody: list something, or take the key out")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		full := fmt.Sprintf("%s[%d]", path, i)
		d.at[full] = position{item.Line, item.Column}
		d.value(item, v.Index(i), full)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.here(n, path, "needs %s, not %s", wanted(v.Type()), kindOf(n))
		return
	}
	msg := setScalar(n, v)
	switch {
	case msg == "":
	case namesSecret(path):
		// Somebody may have written the secret itself, and messages go to logs.
		d.here(n, path, "is not a plain text: write the name in quotes, and never the secret itself")
	default:
		d.here(n, path, "%s", msg)
	}
}

// namesSecret tells the keys whose value says where a secret is.
func namesSecret(path string) bool {
	leaf := path[strings.LastIndexByte(path, '.')+1:]
	return (strings.HasSuffix(leaf, "_env") || strings.HasSuffix(leaf, "_file")) &&
		(strings.Contains(leaf, "password") || strings.Contains(leaf, "secret"))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys below it"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
