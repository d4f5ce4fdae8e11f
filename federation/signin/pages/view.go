package pages

import "html/template"

// The methods below are the templates' vocabulary.

// T is a text in the page's language.
func (v *view) T(key string, vars ...string) (string, error) { return v.lang.text(key, vars...) }

// H is a text with its values marked up.
func (v *view) H(key string, vars ...string) (template.HTML, error) {
	return v.lang.markup(key, vars...)
}

// Lang is the language code for the html element.
func (v *view) Lang() string { return v.lang.Code }

// LangName is the language's own name.
func (v *view) LangName() string { return v.lang.Name }

// Org is the organisation's name.
func (v *view) Org() string { return v.s.cfg.Org }

// Action is the path that our forms post to.
func (v *view) Action() string { return v.s.cfg.Action }

// Style, Script, Brand, Logo, DarkLogo and Icon are the addresses of assets.
func (v *view) Style() string    { return v.s.style }
func (v *view) Script() string   { return v.s.script }
func (v *view) Brand() string    { return v.s.brand }
func (v *view) Logo() string     { return v.s.logo }
func (v *view) DarkLogo() string { return v.s.darkLogo }
func (v *view) Icon() string     { return v.s.icon }

// Links are the settings' addresses as trusted URLs: html/template would
// otherwise refuse tel:, and [New] has checked the schemes.
func (v *view) HelpLink() template.URL    { return template.URL(v.s.cfg.Links.Help) }    // #nosec G203
func (v *view) PrivacyLink() template.URL { return template.URL(v.s.cfg.Links.Privacy) } // #nosec G203
func (v *view) ForgotLink() template.URL  { return template.URL(v.s.cfg.Links.Forgot) }  // #nosec G203

// URL marks the address of an offer as checked: it is a path of ours, a setting
// that New checked, or an https address from the registry.
func (o *offer) URL() template.URL { return template.URL(o.Link) } // #nosec G203

// BannerText is the line above the page, empty for none.
func (v *view) BannerText() (string, error) {
	if v.s.cfg.Demo {
		return v.T("demo")
	}
	return v.s.cfg.Banner, nil
}

// helpLine is the line under the sign-in form; Lang is set where the line is not
// in the page's language.
type helpLine struct{ Text, Lang string }

// HelpText is that line in the page's language, else in English, nil for none.
func (v *view) HelpText() *helpLine {
	if text := v.s.cfg.Help[v.lang.Code]; text != "" {
		return &helpLine{Text: text}
	}
	if text := v.s.cfg.Help[fallback]; text != "" {
		return &helpLine{text, fallback}
	}
	return nil
}

// Hint is the example of a user name, empty unless both forms are set.
func (v *view) Hint() (template.HTML, error) {
	if v.s.cfg.ExampleUPN == "" || v.s.cfg.ExampleDown == "" {
		return "", nil
	}
	return v.H("signin.user.hint", "upn", v.s.cfg.ExampleUPN, "down", v.s.cfg.ExampleDown)
}

// KeepShown says whether the box "keep me signed in" is there.
func (v *view) KeepShown() bool { return v.s.KeepOffered() }

// MenuIsForm and MenuIsLinks tell how the language is switched.
func (v *view) MenuIsForm() bool  { return v.Menu == menuForm }
func (v *view) MenuIsLinks() bool { return v.Menu == menuLinks }

// entry is one language of the menu.
type entry struct {
	Code, Name string
	Current    bool
}

// Languages are the entries of the menu.
func (v *view) Languages() []entry {
	all := make([]entry, len(names))
	for i, n := range names {
		all[i] = entry{n.code, n.name, n.code == v.lang.Code}
	}
	return all
}
