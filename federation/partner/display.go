package partner

import (
	"net/url"
	"strings"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
)

// Bounds of what people read.
const (
	maxName      = 60 // as in the settings
	maxLanguages = 40
)

// names reads the names for people: the display names of the role (MDUI §2.1.2), else
// those of the organisation, else those of the service that asks for attributes. Kinds
// are not mixed, so that a person does not see an organisation where others see an
// application.
func (e *Entity) names(descriptor, role *etree.Element) {
	var display, organisation, service []*etree.Element
	for _, x := range xmlsec.All(role, nsMetadata, "Extensions") {
		for _, ui := range xmlsec.All(x, nsUI, "UIInfo") {
			display = append(display, xmlsec.All(ui, nsUI, "DisplayName")...)
		}
	}
	for _, o := range xmlsec.All(descriptor, nsMetadata, "Organization") {
		organisation = append(organisation, xmlsec.All(o, nsMetadata, "OrganizationDisplayName")...)
	}
	for _, s := range xmlsec.All(role, nsMetadata, "AttributeConsumingService") {
		service = append(service, xmlsec.All(s, nsMetadata, "ServiceName")...)
	}
	for _, kind := range [][]*etree.Element{display, organisation, service} {
		if e.Name, e.Names = localised(kind); e.Name != "" {
			return
		}
	}
}

// localised returns the first text in each language, and the one in English, else the
// first one.
func localised(list []*etree.Element) (name string, names map[string]string) {
	for _, e := range list {
		text, err := trimmed(e)
		if err != nil {
			continue
		}
		if text = plain(text, maxName); text == "" {
			continue
		}
		if name == "" {
			name = text
		}
		tag := language(e)
		if tag == "" || names[tag] != "" || len(names) == maxLanguages {
			continue
		}
		if names == nil {
			names = make(map[string]string)
		}
		names[tag] = text
	}
	if english := names["en"]; english != "" {
		name = english
	}
	return name, names
}

// language is the primary tag of xml:lang, empty when there is none that has letters
// only.
func language(e *etree.Element) string {
	for _, a := range e.Attr {
		if a.Space != "xml" || a.Key != "lang" {
			continue
		}
		tag, _, _ := strings.Cut(strings.ToLower(a.Value), "-")
		if len(tag) < 2 || len(tag) > 3 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz") != "" {
			return ""
		}
		return tag
	}
	return ""
}

// Host stands in for a name where the metadata has none: the host of the entity's id,
// else of an address that answers go to. People know it from the address bar.
func (e *Entity) Host() string {
	if u, err := url.Parse(e.ID); err == nil && u.Hostname() != "" {
		return plain(u.Hostname(), maxName)
	}
	for _, c := range e.Consumers {
		if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" {
			return plain(u.Hostname(), maxName)
		}
	}
	return plain(e.ID, maxName)
}

// plain makes one line of at most n characters without control and direction
// characters, for names that people read.
func plain(s string, n int) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x61c || r == 0xfeff || r == 0xfffd {
			continue
		}
		if n--; n < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
