package partner

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/saml"
)

// warn notes what an admin should know. What is quoted in it is cut short by the
// caller.
func (e *Entity) warn(format string, args ...any) {
	if len(e.Warnings) < maxWarnings {
		e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
	}
}

// read fills in an entity from its descriptor and its role (SAML Metadata 2.0
// §2.4.4).
func (e *Entity) read(descriptor, role *etree.Element, now time.Time) (err error) {
	if e.SignsRequests, err = boolean(role, "AuthnRequestsSigned"); err != nil {
		return err
	}
	if e.WantsAssertions, err = boolean(role, "WantAssertionsSigned"); err != nil {
		return err
	}
	for _, f := range xmlsec.All(role, nsMetadata, "NameIDFormat") {
		text, err := trimmed(f)
		if err != nil {
			return err
		}
		if text != "" && len(text) <= maxEntity && !contains(e.Formats, text) && len(e.Formats) < maxEndpoints {
			e.Formats = append(e.Formats, text)
		}
	}
	if err := e.keys(role, now); err != nil {
		return err
	}
	if e.SignsRequests && len(e.Signing) == 0 {
		return bad("AuthnRequestsSigned is true and there is no usable signing key")
	}
	if err := e.consumers(role); err != nil {
		return err
	}
	if err := e.logouts(role); err != nil {
		return err
	}
	if err := e.requested(role); err != nil {
		return err
	}
	return e.people(descriptor, role)
}

// boolean reads an xs:boolean, false when it is absent.
func boolean(e *etree.Element, name string) (bool, error) {
	s, ok := xmlsec.Attr(e, name)
	switch s = strings.TrimSpace(s); {
	case !ok, s == "false", s == "0":
		return false, nil
	case s == "true", s == "1":
		return true, nil
	default:
		return false, bad("%s %.40q is neither true nor false", name, s)
	}
}

func trimmed(e *etree.Element) (string, error) {
	text, err := xmlsec.Text(e)
	if err != nil {
		return "", bad("%w", err)
	}
	return strings.Trim(text, " \t\r\n"), nil
}

// consumers reads the assertion consumer services. One with an address that no
// token may go to is left out; the index of one with another binding is kept where
// requests may name it.
func (e *Entity) consumers(role *etree.Element) error {
	list := xmlsec.All(role, nsMetadata, "AssertionConsumerService")
	if len(list) > maxEndpoints {
		return bad("%d assertion consumer services", len(list))
	}
	taken, posts, defaults := map[int]bool{}, 0, 0
	for _, c := range list {
		p := saml.Endpoint{}
		p.Binding, _ = xmlsec.Attr(c, "Binding")
		p.URL, _ = xmlsec.Attr(c, "Location")
		index, ok := xmlsec.Attr(c, "index")
		n, err := strconv.ParseUint(strings.TrimSpace(index), 10, 16)
		switch {
		case !ok && len(list) == 1:
			e.warn("the assertion consumer service has no index; 0 is taken")
		case err != nil:
			return bad("the index %.20q of an assertion consumer service is not a number between 0 and 65535", index)
		case taken[int(n)]:
			return bad("two assertion consumer services have the index %d", n)
		}
		p.Index = int(n)
		taken[p.Index] = true
		marked, err := boolean(c, "isDefault")
		if err != nil {
			return err
		}
		_, said := xmlsec.Attr(c, "isDefault")
		p.Default, p.NotDefault = marked, said && !marked
		if !e.usable(&p) {
			continue
		}
		if p.Binding == saml.BindingPost {
			posts++
			if p.Default {
				defaults++
			}
		}
		e.Consumers = append(e.Consumers, p)
	}
	if posts == 0 {
		return bad("there is no assertion consumer service with the POST binding and an https address")
	}
	if defaults > 1 {
		e.warn("%d assertion consumer services are marked as the default; the first one is taken", defaults)
	}
	return nil
}

// usable reports whether an endpoint is kept, and warns where it is not.
func (e *Entity) usable(p *saml.Endpoint) bool {
	switch p.Binding {
	case saml.BindingPost, saml.BindingPAOS:
	case saml.BindingArtifact:
		e.warn("assertion consumer service %d has the binding HTTP-Artifact, which is not served; only its index is kept", p.Index)
	default:
		e.warn("assertion consumer service %d is left out: the binding %.100q is not served", p.Index, p.Binding)
		return false
	}
	if msg := location(p.URL); msg != "" {
		e.warn("assertion consumer service %d is left out: %s", p.Index, msg)
		return false
	}
	return true
}

// location returns what is wrong with an address, empty when nothing is.
func location(raw string) string {
	switch err := saml.CheckURL(raw); {
	case strings.HasPrefix(strings.ToLower(raw), "http://"):
		return fmt.Sprintf("%.200q is http, which would send tokens in the clear", raw)
	case err != nil:
		return fmt.Sprintf("%.200q is %v", raw, err)
	case strings.Contains(raw, "*"):
		return fmt.Sprintf("%.200q has a wildcard, and addresses are compared byte for byte", raw)
	}
	return ""
}

// logouts reads the single logout services.
func (e *Entity) logouts(role *etree.Element) error {
	list := xmlsec.All(role, nsMetadata, "SingleLogoutService")
	if len(list) > maxEndpoints {
		return bad("%d single logout services", len(list))
	}
	for _, c := range list {
		var l Logout
		l.Binding, _ = xmlsec.Attr(c, "Binding")
		l.URL, _ = xmlsec.Attr(c, "Location")
		l.ResponseURL, _ = xmlsec.Attr(c, "ResponseLocation")
		if msg := location(l.URL); msg != "" {
			e.warn("a single logout service is left out: %s", msg)
			continue
		}
		if l.ResponseURL != "" {
			if msg := location(l.ResponseURL); msg != "" {
				e.warn("a single logout service is left out: its ResponseLocation: %s", msg)
				continue
			}
		}
		e.Logout = append(e.Logout, l)
	}
	if len(e.Logout) > 0 && len(e.Signing) == 0 {
		e.warn("single logout is off: its messages are signed, and the document has no usable signing key")
	}
	return nil
}

// requested reads the attributes that the default AttributeConsumingService, or the
// first one, asks for.
func (e *Entity) requested(role *etree.Element) error {
	services := xmlsec.All(role, nsMetadata, "AttributeConsumingService")
	if len(services) == 0 {
		return nil
	}
	chosen := services[0]
	for _, s := range services {
		if is, err := boolean(s, "isDefault"); err == nil && is {
			chosen = s
			break
		}
	}
	list := xmlsec.All(chosen, nsMetadata, "RequestedAttribute")
	if len(list) > maxEndpoints {
		return bad("%d requested attributes", len(list))
	}
	for _, c := range list {
		var a Attribute
		var err error
		a.Name, _ = xmlsec.Attr(c, "Name")
		a.NameFormat, _ = xmlsec.Attr(c, "NameFormat")
		a.FriendlyName, _ = xmlsec.Attr(c, "FriendlyName")
		if a.Required, err = boolean(c, "isRequired"); err != nil {
			return err
		}
		if a.Name == "" || len(a.Name) > maxEntity || len(a.FriendlyName) > maxEntity {
			e.warn("a requested attribute is left out: its name is empty or too long")
			continue
		}
		e.Attributes = append(e.Attributes, a)
	}
	return nil
}

// people reads what is for people: names, contacts, entity attributes.
func (e *Entity) people(descriptor, role *etree.Element) error {
	e.names(descriptor, role)
	for _, c := range xmlsec.All(descriptor, nsMetadata, "ContactPerson") {
		for _, m := range xmlsec.All(c, nsMetadata, "EmailAddress") {
			if text, err := trimmed(m); err == nil && len(e.Contacts) < maxKeys {
				e.Contacts = append(e.Contacts, plain(strings.TrimPrefix(text, "mailto:"), 200))
			}
		}
	}
	for _, x := range xmlsec.All(descriptor, nsMetadata, "Extensions") {
		for _, list := range xmlsec.All(x, nsAttribute, "EntityAttributes") {
			for _, a := range xmlsec.All(list, nsAssertion, "Attribute") {
				name, _ := xmlsec.Attr(a, "Name")
				for _, v := range xmlsec.All(a, nsAssertion, "AttributeValue") {
					if text, err := trimmed(v); err == nil && name != "" && len(name) <= maxEntity && len(text) <= maxEntity {
						if e.Tags == nil {
							e.Tags = make(map[string][]string)
						}
						e.Tags[name] = append(e.Tags[name], text)
					}
				}
			}
		}
	}
	return nil
}
