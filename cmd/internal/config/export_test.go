package config

import "reflect"

// Keys returns the full name of every setting; lists are shown as key[].
func Keys() (keys []string) {
	walkSchema(reflect.TypeFor[Config](), "", func(full string, _ reflect.StructField) { keys = append(keys, full) })
	return keys
}

// OwnDirectory judges a directory of metadata.
func OwnDirectory(path string) error { return ownDirectory(path) }
