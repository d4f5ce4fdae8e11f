package partner

// Namespaces.
const (
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsUI        = "urn:oasis:names:tc:SAML:metadata:ui"
	nsAttribute = "urn:oasis:names:tc:SAML:metadata:attribute"
	nsRegister  = "urn:oasis:names:tc:SAML:metadata:rpi"
	nsEncrypt11 = "http://www.w3.org/2009/xmlenc11#"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
)

// Algorithms of XML-ENC §5.
const (
	encGCM     = "http://www.w3.org/2009/xmlenc11#aes"
	encOAEP    = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	encOAEP11  = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	encGCM128  = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	encGCM256  = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	encCBC     = "http://www.w3.org/2001/04/xmlenc#aes"
	encPKCS1   = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	encDES     = "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"
	useSigning = "signing"
	useEncrypt = "encryption"
)

// Bounds of one entity, above what anybody needs.
const (
	maxEntity    = 1024
	maxEndpoints = 200
	maxKeys      = 20
	maxWarnings  = 50
)
