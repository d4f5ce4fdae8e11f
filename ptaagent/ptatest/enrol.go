package ptatest

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/beevik/etree"
)

var (
	versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
	filledForm  = regexp.MustCompile(`^\S(.*\S)?$`)
	numberForm  = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)
	hexForm     = regexp.MustCompile(`^[0-9a-fA-F]{4}$`)
	systemForm  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	guidForm    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	boolForm    = regexp.MustCompile(`^(true|false)$`)
)

// systemSettings judges the five system settings (3.3).
func systemSettings(machine *string) func(*etree.Element) error {
	return func(e *etree.Element) error {
		if err := typed(e, nsSystem, "SystemSettings"); err != nil {
			return err
		}
		return expect(e, child{nsSystem, "MachineName", false, like(filledForm, machine)}, child{nsSystem, "OsLanguage", false, like(numberForm, nil)},
			child{nsSystem, "OsLocale", false, like(hexForm, nil)}, child{nsSystem, "OsSku", false, like(numberForm, nil)},
			child{nsSystem, "OsVersion", false, like(systemForm, nil)})
	}
}

// register plays RegisterConnector (3.3).
func (c *Cloud) register(w http.ResponseWriter, r *http.Request) {
	const part = "registration"
	f := c.fault()
	if f.RegisterStatus != 0 {
		w.WriteHeader(f.RegisterStatus)
		return
	}
	root, err := c.readBody(part, w, r)
	if err != nil {
		return
	}
	var csr, token, inner, outer, version, userAgent string
	err = root.as(nsRegistration, "RegistrationRequest",
		child{nsRegistration, "Base64Csr", false, like(filled64, &csr)}, child{nsRegistration, "AuthenticationToken", false, like(filledForm, &token)},
		child{nsRegistration, "Base64Pkcs10Csr", false, isNil}, child{nsRegistration, "Feature", false, is("ApplicationProxy")},
		child{nsRegistration, "FeatureString", false, is("PassthroughAuthentication")},
		child{nsRegistration, "RegistrationRequestSettings", false, func(e *etree.Element) error {
			return expect(e, child{nsCommons, "SystemSettingsInformation", false, systemSettings(&inner)},
				child{nsRegistration, "PSModuleVersion", false, like(versionForm, &version)}, child{nsRegistration, "SystemSettings", false, systemSettings(&outer)})
		}},
		child{nsRegistration, "TenantId", false, is(c.Tenant)}, child{nsRegistration, "UserAgent", false, like(filledForm, &userAgent)})
	if err == nil && inner != outer {
		err = fmt.Errorf("two machine names: %q, %q", clip(inner), clip(outer))
	}
	if err == nil && userAgent != "PassthroughAuthenticationConnector/"+version {
		err = fmt.Errorf("UserAgent %q", clip(userAgent))
	}
	var key *rsa.PublicKey
	if err == nil {
		key, err = readCSR(csr)
	}
	if err != nil {
		err = c.diary.refuse(part, "%v (3.2, 3.3)", err)
	} else {
		err = c.allowed(part, token)
	}
	if err != nil {
		answerEnrolment(w, "RegistrationResult", nsRegistration, nil, err.Error())
		return
	}
	id := newGUID()
	c.finishEnrolment(w, enrolment{root: "RegistrationResult", space: nsRegistration, id: id, machine: inner, key: key, flaw: f.Register, kind: Registered})
}

// renew plays RenewTrustCertificate (5.2).
func (c *Cloud) renew(w http.ResponseWriter, r *http.Request) {
	const part = "renewal"
	f := c.fault()
	if f.RenewStatus != 0 {
		w.WriteHeader(f.RenewStatus)
		return
	}
	id, err := c.client(part, r.TLS.PeerCertificates)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	root, err := c.readBody(part, w, r)
	if err != nil {
		return
	}
	var csr, machine string
	err = root.as(nsRenewal, "TrustRenewalRequest", child{nsRegistration, "Base64Csr", false, like(filled64, &csr)},
		child{nsRenewal, "TrustRenewalRequestSettings", false, func(e *etree.Element) error {
			return expect(e, child{nsCommons, "SystemSettingsInformation", false, systemSettings(&machine)},
				child{nsRenewal, "ConnectorVersion", false, like(versionForm, nil)})
		}})
	var key *rsa.PublicKey
	if err == nil {
		key, err = readCSR(csr)
	}
	if err == nil && key.Equal(r.TLS.PeerCertificates[0].PublicKey) {
		err = fmt.Errorf("the key is the old one")
	}
	if err != nil {
		answerEnrolment(w, "TrustRenewalResult", nsRenewal, nil, c.diary.refuse(part, "%v (5.2)", err).Error())
		return
	}
	c.finishEnrolment(w, enrolment{root: "TrustRenewalResult", space: nsRenewal, id: id, machine: machine, key: key, flaw: f.Renew, kind: Renewed})
}

// enrolment is a judged request for a certificate.
type enrolment struct {
	root, space, id, machine string
	key                      *rsa.PublicKey
	flaw                     Issue
	kind                     Kind
}

func (c *Cloud) finishEnrolment(w http.ResponseWriter, e enrolment) {
	switch e.flaw {
	case IssueRefused:
		answerEnrolment(w, e.root, e.space, nil, "The request was refused by the service.")
		return
	case IssueGarbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!DOCTYPE html><html><body>Sign in to the network</body></html>"))
		return
	case "":
		cr, err := c.enrol(e.id, e.machine, e.key, "")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		c.diary.add(Record{Kind: e.kind, Agent: e.id, Detail: e.machine + " " + cr.print})
		answerEnrolment(w, e.root, e.space, cr.cert.Raw, "")
		return
	}
	s := subject{tenant: c.Tenant, agent: e.id, key: e.key, notAfter: c.now().Add(c.policy.Lifetime), flaw: e.flaw}
	switch e.flaw {
	case IssueForeignTenant:
		s.tenant = newGUID()
	case IssueForeignAgent:
		s.agent = newGUID()
	case IssueForeignKey:
		other, err := connectorKey()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.key = &other.PublicKey
	}
	cert, err := c.pki.issue(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerEnrolment(w, e.root, e.space, cert.Raw, "")
}

// answerEnrolment writes a result (3.4, 5.3). The children of a renewal's result
// are inherited members and carry their own namespace.
func answerEnrolment(w http.ResponseWriter, root, space string, der []byte, message string) {
	declare := ""
	if space != nsRegistration {
		declare = ` xmlns="` + nsRegistration + `"`
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<%s xmlns="%s" xmlns:i="%s"><Certificate%s>%s</Certificate><ErrorMessage%s>%s</ErrorMessage><IsSuccessful%s>%t</IsSuccessful></%s>`,
		root, space, nsInstance, declare, base64.StdEncoding.EncodeToString(der), declare, escape(message), declare, der != nil, root)
}

var filled64 = regexp.MustCompile(`^[A-Za-z0-9+/=\r\n]+$`)

// readCSR judges a certificate request (3.2).
func readCSR(text string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(text))
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("CSR: signature: %w", err)
	}
	if csr.SignatureAlgorithm != x509.SHA256WithRSA {
		return nil, fmt.Errorf("CSR: signed with %s", csr.SignatureAlgorithm)
	}
	key, ok := csr.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() != 2048 || key.E != 65537 {
		return nil, fmt.Errorf("CSR: the key is not RSA of 2048 bits with exponent 65537")
	}
	if !bytes.Equal(csr.RawSubject, []byte{0x30, 0}) {
		return nil, fmt.Errorf("CSR: the subject is not empty")
	}
	usage, _ := asn1.Marshal([]asn1.ObjectIdentifier{oidClient})
	want := map[string][]byte{"2.5.29.15": {3, 2, 4, 0xf0}, "2.5.29.37": usage, "2.5.29.14": nil}
	for _, e := range csr.Extensions {
		v, ok := want[e.Id.String()]
		if !ok {
			return nil, fmt.Errorf("CSR: extension %s", e.Id)
		}
		if v != nil && !bytes.Equal(v, e.Value) {
			return nil, fmt.Errorf("CSR: extension %s has value %x", e.Id, e.Value)
		}
		delete(want, e.Id.String())
	}
	if len(want) != 0 {
		return nil, fmt.Errorf("CSR: lacks an extension of key usage, extended key usage and subject key id")
	}
	return key, nil
}
