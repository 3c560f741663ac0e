//go:build !cgo

package token

import "consentgate/store/rootcell/pkcs11cell"

// Do says that this build can't.
func Do(pkcs11cell.Request) pkcs11cell.Answer {
	return pkcs11cell.Answer{Error: "this consentgate-pkcs11 was built without C and can load no PKCS#11 module: build it with 'make pkcs11'"}
}
