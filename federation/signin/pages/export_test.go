package pages

// AcceptLanguage is the parser of the header, for its fuzz target.
var AcceptLanguage = acceptLanguage

// Problems are the keys of the error catalogue.
func Problems() []string {
	var all []string
	for p := range catalogue {
		all = append(all, string(p))
	}
	return all
}

// TextsTSV and Templates are the embedded files.
var (
	TextsTSV  = textsTSV
	Templates = templates
)

// ReadTexts reports what is wrong with a table of texts.
func ReadTexts(tsv string) error {
	_, err := readTexts(tsv)
	return err
}

// Languages are the codes in use.
var Languages = codes

// Contrast is the contrast ratio of two colours such as #0d5b6d.
func Contrast(a, b string) float64 {
	x, _ := parseColour(a)
	y, _ := parseColour(b)
	return contrast(x, y)
}

// Minutes is a waiting time for people.
var Minutes = minutes
