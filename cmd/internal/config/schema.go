package config

import (
	"reflect"
	"slices"
	"strings"
)

// later are keys of capabilities that this version does not have. A file with
// one of them is refused: silence would let an admin believe that it works.
var later = map[string]string{
	"kerberos":              "sign-in without a prompt (Kerberos)",
	"sentinel":              "Redis Sentinel",
	"cluster":               "Redis Cluster",
	"keytab_file":           "Kerberos for the service account",
	"mfa":                   "a second factor",
	"allow_password_change": "changing passwords",
}

// secretNames are keys that would hold a secret in the file itself.
var secretNames = []string{"password", "passphrase", "secret", "token", "key", "private_key", "pin", "client_secret", "credential", "previous_password", "previous_secret"}

// fields returns the settings of a struct by key, in order.
func fields(t reflect.Type) (keys []string, index map[string]int) {
	index = map[string]int{}
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		keys = append(keys, key)
		index[key] = i
	}
	return keys, index
}

func keysOf(t reflect.Type) []string {
	keys, _ := fields(t)
	return keys
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	_, index := fields(v.Type())
	i, ok := index[key]
	if !ok {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

// unknown says what is wrong with a key that t does not have.
func unknown(t reflect.Type, path, key string) string {
	keys := keysOf(t)
	if what, ok := later[key]; ok {
		return "not available in this version: " + what + ". Take the key out"
	}
	if slices.Contains(secretNames, key) {
		if refs := secretRefs(keys, key); len(refs) > 0 {
			return "a secret is never written in this file: put it in a file with mode 0600 and write " + strings.Join(refs, " or ")
		}
	}
	if near := nearest(key, keys); near != "" {
		return "unknown key; did you mean " + near + "?"
	}
	if places := elsewhere(key); len(places) > 0 {
		return "unknown key here; did you mean " + strings.Join(places, " or ") + "?"
	}
	if path == "" {
		path = "the top level"
	}
	return "unknown key; " + path + " knows " + strings.Join(keys, ", ")
}

func secretRefs(keys []string, key string) (refs []string) {
	for _, k := range keys {
		switch {
		case k == key+"_file" || (k == "key_file" && key == "private_key"):
			refs = append(refs, k+": PATH")
		case k == key+"_env":
			refs = append(refs, k+": NAME (an environment variable)")
		}
	}
	return refs
}

// elsewhere returns the full keys, in other sections, that end in key.
func elsewhere(key string) (places []string) {
	walkSchema(reflect.TypeFor[Config](), "", func(full string, _ reflect.StructField) {
		if strings.HasSuffix(full, "."+key) && len(places) < 2 {
			places = append(places, full)
		}
	})
	return places
}

// walkSchema calls f for each key; lists are shown as key[].
func walkSchema(t reflect.Type, path string, f func(full string, field reflect.StructField)) {
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		full := join(path, key)
		f(full, field)
		switch ft := field.Type; {
		case ft.Kind() == reflect.Struct && ft != prefixType:
			walkSchema(ft, full, f)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct && ft.Elem() != prefixType:
			walkSchema(ft.Elem(), full+"[]", f)
		}
	}
}

// nearest returns the word that key was probably meant to be, else nothing.
func nearest(key string, words []string) string {
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	if len(key) > 64 {
		return ""
	}
	best, limit := "", 1+len(key)/4
	for _, w := range words {
		switch d := distance(key, w); {
		case d == 0:
			return w
		case d <= limit && !(best != "" && d == limit):
			best, limit = w, d
		}
	}
	if best == "" && len(key) >= 4 {
		for _, w := range words {
			if strings.HasPrefix(w, key) || strings.HasPrefix(key, w) || strings.HasSuffix(w, "_"+key) {
				return w
			}
		}
	}
	return best
}

// distance is the number of single-character edits, swaps of neighbours
// included, that lead from a to b.
func distance(a, b string) int {
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
