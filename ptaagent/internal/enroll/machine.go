package enroll

import "os"

// Machine is what the cloud shows of an agent's host. The form is that of Windows,
// because the services know no other; only the name is this machine's own.
type Machine struct {
	// Name is shown in the admin centre.
	Name string
	// Version is the agent version that is claimed; the service may have a minimum.
	Version string
}

// DefaultVersion is the version of the agent whose messages are public.
const DefaultVersion = "1.5.2482.0"

const (
	osLanguage = "1033"
	osLocale   = "0409"
	osSKU      = "8"
	osVersion  = "10.0.20348"
	dotNet     = "528449"
)

// ThisMachine returns what is told about this host.
func ThisMachine() Machine {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "sallyport"
	}
	return Machine{Name: name, Version: DefaultVersion}
}

const (
	nsCommon      = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	nsRegister    = nsCommon + "Registration"
	nsCommons     = nsCommon + "RegistrationCommons"
	nsSettings    = nsCommon + "Utilities.SystemSettings"
	nsRenewal     = nsCommon + "Registration.TrustRenewal"
	nsSignaler    = nsCommon + "SignalerDataModel"
	nsBoot        = nsCommon + "BootstrapDataModel"
	settingsType  = ` i:type="a:SystemSettings"`
	declareSystem = ` xmlns:a="` + nsSettings + `"`
)

// system writes the settings of the operating system.
func (b *body) system(m Machine) {
	b.text("a:MachineName", m.Name)
	b.text("a:OsLanguage", osLanguage)
	b.text("a:OsLocale", osLocale)
	b.text("a:OsSku", osSKU)
	b.text("a:OsVersion", osVersion)
}
