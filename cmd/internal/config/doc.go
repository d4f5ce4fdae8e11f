// Package config reads the one settings file of the gateway.
//
// The file decides whom the gateway trusts, so the package never guesses: a key
// that it does not know, a key written twice, a value of another type or an
// empty list is an error, and a section of a capability that this version does
// not have is refused instead of being ignored (threats O02). All problems of a
// file are reported at once, each with line, column and what to write instead;
// see [Error].
//
// A secret never stands in the file. It is named by a key that ends in _file (a
// file that nobody but the service's user can read) or _env (the name of an
// environment variable); see [Secret].
//
// [Parse] looks at the text only. [Load] also looks at the files that the text
// names: whether they are there and whether their modes keep others out.
//
// The comments of the structs below are the manual: what a key means, what holds
// when it is absent, and what follows from it.
package config
