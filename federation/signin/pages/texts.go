package pages

import (
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"strings"
)

//go:embed files/texts.tsv
var textsTSV string

// language is one column of the texts.
type language struct {
	Code  string
	Name  string // in the language itself
	texts map[string]string
}

// names are the languages in the order of the menu.
var names = []struct{ code, name string }{
	{"de", "Deutsch"}, {"en", "English"}, {"es", "Español"}, {"fr", "Français"}, {"nl", "Nederlands"},
}

const fallback = "en"

func known(code string) bool {
	for _, n := range names {
		if n.code == code {
			return true
		}
	}
	return false
}

func codes() []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = n.code
	}
	return all
}

// readTexts reads the table: a heading row with language codes, then a row a key.
func readTexts(tsv string) (map[string]*language, error) {
	lines := strings.Split(strings.TrimSuffix(tsv, "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	all := make(map[string]*language, len(names))
	for _, n := range names {
		all[n.code] = &language{Code: n.code, Name: n.name, texts: make(map[string]string, len(lines))}
	}
	if len(head) != len(names)+1 || head[0] != "key" {
		return nil, fmt.Errorf("pages: texts: heading has %d columns, want key and %d languages", len(head), len(names))
	}
	for i, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		if len(cells) != len(head) {
			return nil, fmt.Errorf("pages: texts line %d: %d columns, want %d", i+2, len(cells), len(head))
		}
		for j, code := range head[1:] {
			lang, ok := all[code]
			if !ok {
				return nil, fmt.Errorf("pages: texts: unknown language %q", code)
			}
			if _, twice := lang.texts[cells[0]]; twice || cells[j+1] == "" {
				return nil, fmt.Errorf("pages: texts line %d: %q is empty or stands twice", i+2, cells[0])
			}
			lang.texts[cells[0]] = cells[j+1]
		}
	}
	return all, nil
}

// text returns a text with its placeholders filled, for places that html/template
// escapes. vars are pairs of placeholder and value.
func (l *language) text(key string, vars ...string) (string, error) {
	raw, ok := l.texts[key]
	if !ok {
		return "", fmt.Errorf("pages: no text %q", key)
	}
	return fill(raw, vars, func(_, value string) string { return value })
}

// markup returns a text as HTML: the party's name stands out, names of accounts
// and hosts keep their direction. Text and values are escaped here; this is the
// only place that makes HTML outside of the templates.
func (l *language) markup(key string, vars ...string) (template.HTML, error) {
	raw, ok := l.texts[key]
	if !ok {
		return "", fmt.Errorf("pages: no text %q", key)
	}
	s, err := fill(html.EscapeString(raw), vars, func(name, value string) string {
		switch value = html.EscapeString(value); name {
		case "party":
			return "<b>" + value + "</b>"
		case "upn", "down", "host":
			return `<bdi dir="ltr">` + value + "</bdi>"
		default:
			return value
		}
	})
	return template.HTML(s), err // #nosec G203 -- escaped above
}

// fill replaces each {name} once; a value that looks like a placeholder stays as
// it is.
func fill(raw string, vars []string, put func(name, value string) string) (string, error) {
	if len(vars)%2 != 0 {
		return "", fmt.Errorf("pages: text %q: odd number of values", raw)
	}
	pairs := make([]string, 0, len(vars))
	for i := 0; i < len(vars); i += 2 {
		pairs = append(pairs, "{"+vars[i]+"}", put(vars[i], vars[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(raw), nil
}
