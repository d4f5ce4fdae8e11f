package domain

import (
	"crypto/x509"
	"fmt"
	"strings"
	"unicode"
)

// Action is what a script does.
type Action string

// The actions.
const (
	ActionFederate   Action = "federate"
	ActionUpdate     Action = "update"
	ActionUnfederate Action = "unfederate"
)

// environments are the clouds by the names of Connect-MgGraph.
var environments = map[string]string{"global": "Global", "usgov": "USGov", "china": "China"}

// Script writes Microsoft Graph PowerShell that does for the domains what the
// command would do, for people who may not call Graph from here. cloud is a name
// of [CloudNamed]; tenant may be empty. Every value is quoted so that nothing in
// it is code.
func Script(action Action, cloud, tenant string, list []*Wanted) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#Requires -Modules Microsoft.Graph.Authentication, Microsoft.Graph.Identity.DirectoryManagement")
	line("$ErrorActionPreference = 'Stop'")
	connect := "Connect-MgGraph -NoWelcome -Environment " + quotePS(environments[cloud]) + " -Scopes 'Domain.ReadWrite.All','Domain-InternalFederation.ReadWrite.All'"
	if tenant != "" {
		connect += " -TenantId " + quotePS(tenant)
	}
	line("%s", connect)
	for _, w := range list {
		if !domain.MatchString(w.Domain) {
			return "", fmt.Errorf("domain: %.60q is not a domain", w.Domain)
		}
		line("\n# %s", w.Domain)
		line("$domain = %s", quotePS(w.Domain))
		var err error
		switch action {
		case ActionFederate:
			err = w.scriptFederate(line)
		case ActionUpdate:
			err = w.scriptUpdate(line)
		case ActionUnfederate:
			w.scriptUnfederate(line)
		default:
			err = fmt.Errorf("domain: no script for %q", action)
		}
		if err != nil {
			return "", err
		}
	}
	text := b.String()
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
		return "", fmt.Errorf("domain: a value holds a control character, which a script cannot carry")
	}
	return text, nil
}

type printer func(format string, args ...any)

func (w *Wanted) scriptFederate(line printer) error {
	s, err := w.Settings()
	if err != nil {
		return err
	}
	line("$state = Get-MgDomain -DomainId $domain")
	line("if ($state.AuthenticationType -ne 'Managed') { throw \"$domain is not managed\" }")
	line("if ($state.IsDefault) { throw \"$domain is the default domain of the tenant\" }")
	line("if (-not $state.IsVerified) { throw \"$domain is not verified\" }")
	line("$settings = @{")
	for _, m := range []struct{ name, value string }{
		{"@odata.type", s.Type}, {"displayName", s.DisplayName}, {"issuerUri", s.IssuerURI}, {"passiveSignInUri", s.PassiveSignInURI},
		{"activeSignInUri", s.ActiveSignInURI}, {"metadataExchangeUri", s.MetadataExchangeURI}, {"signOutUri", s.SignOutURI},
		{"preferredAuthenticationProtocol", s.PreferredAuthenticationProtocol}, {"signingCertificate", s.SigningCertificate},
		{"nextSigningCertificate", s.NextSigningCertificate}, {"federatedIdpMfaBehavior", s.FederatedIDPMFABehavior},
		{"promptLoginBehavior", s.PromptLoginBehavior},
	} {
		if m.value != "" {
			line("  %s = %s", quotePS(m.name), quotePS(m.value))
		}
	}
	line("}")
	line("$signing = %s", quotePS(encode(w.Signing)))
	line("$beside = %s", optionalPS(w.Next))
	line("$null = New-MgDomainFederationConfiguration -DomainId $domain -BodyParameter $settings")
	scriptReadBack(line)
	return nil
}

// scriptUpdate fills both slots as [Wanted.Changes] does: a certificate of somebody else
// in either is named, and goes only when a person at the keyboard says so.
func (w *Wanted) scriptUpdate(line printer) error {
	if err := w.check(); err != nil {
		return fmt.Errorf("%s: %w", w.Domain, err)
	}
	line("$signing = %s", quotePS(encode(w.Signing)))
	line("$beside = %s", optionalPS(w.Next))
	line("$retiring = %s", listPS(w.Retiring))
	line("$own = @($signing, $beside) + $retiring + %s", listPS(w.Gone))
	line("$held = Get-MgDomainFederationConfiguration -DomainId $domain")
	line("$slots = @($held.SigningCertificate, $held.NextSigningCertificate)")
	line("$foreign = @($slots | Where-Object { $_ -and $own -cnotcontains $_ })")
	line("if ($foreign.Count -gt 0) {")
	line("  foreach ($text in $foreign) {")
	line("    $cert = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new([Convert]::FromBase64String($text))")
	line("    Write-Warning \"$domain trusts a certificate that is not Sallyport's: $($cert.Thumbprint), $($cert.Subject), until $($cert.NotAfter). If nobody here knows it, somebody else can sign in as your users: see Microsoft's audit log.\"")
	line("  }")
	line("  if ((Read-Host \"Type $domain to replace it\") -cne $domain) { throw \"nothing was changed at $domain\" }")
	line("}")
	line("if (-not $beside) { $beside = $retiring | Where-Object { $slots -ccontains $_ } | Select-Object -First 1 }")
	line("# A slot that holds what it must not hold is filled with the certificate that signs: not every tenant can empty it.")
	line("if (-not $beside -and $held.NextSigningCertificate) { $beside = $signing }")
	line("$settings = @{ 'signingCertificate' = $signing }")
	line("if ($beside) { $settings['nextSigningCertificate'] = $beside }")
	line("$null = Update-MgDomainFederationConfiguration -DomainId $domain -InternalDomainFederationId $held.Id -BodyParameter $settings")
	scriptReadBack(line)
	return nil
}

// scriptReadBack waits until Microsoft shows $signing and, where it was sent, $beside.
func scriptReadBack(line printer) {
	line("foreach ($try in 1..12) {")
	line("  Start-Sleep -Seconds 5")
	line("  $held = Get-MgDomainFederationConfiguration -DomainId $domain")
	line("  $good = $held.SigningCertificate -ceq $signing -and (-not $beside -or $held.NextSigningCertificate -ceq $beside)")
	line("  if ($good) { break }")
	line("}")
	line("if (-not $good) { throw \"$domain does not show the certificates that were sent: look before you go on\" }")
	line("$held | Format-List DisplayName, IssuerUri, PassiveSignInUri, ActiveSignInUri, MetadataExchangeUri, SignOutUri, PreferredAuthenticationProtocol, FederatedIdpMfaBehavior, PromptLoginBehavior, SigningCertificate, NextSigningCertificate")
}

// optionalPS is a certificate, or $null.
func optionalPS(c *x509.Certificate) string {
	if c == nil {
		return "$null"
	}
	return quotePS(encode(c))
}

// listPS is an array of certificates.
func listPS(list []*x509.Certificate) string {
	quoted := make([]string, 0, len(list))
	for _, c := range list {
		quoted = append(quoted, quotePS(encode(c)))
	}
	return "@(" + strings.Join(quoted, ", ") + ")"
}

func (w *Wanted) scriptUnfederate(line printer) {
	line("$held = Get-MgDomainFederationConfiguration -DomainId $domain")
	line("Remove-MgDomainFederationConfiguration -DomainId $domain -InternalDomainFederationId $held.Id -Confirm")
	line("if ((Get-MgDomain -DomainId $domain).AuthenticationType -ne 'Managed') { Update-MgDomain -DomainId $domain -BodyParameter @{ 'authenticationType' = 'Managed' } }")
	line("Get-MgDomain -DomainId $domain | Format-List Id, AuthenticationType")
}

// quotePS quotes a value for PowerShell. In single quotes only the quote itself
// means something, and PowerShell takes four further characters for one
// (about_Quoting_Rules; the language's single-quote-character).
func quotePS(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch r {
		case '\'', '\u2018', '\u2019', '\u201a', '\u201b':
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}
