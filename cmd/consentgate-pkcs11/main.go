// Command consentgate-pkcs11 does one request of consentgate's with a PKCS#11
// token and ends. It reads the request from its standard input and writes the
// answer, which may hold a root key, to its standard output: both are pipes from
// consentgate, which starts it. It is a program of its own because the token's
// library, which is the maker's and in C, must not be able to break calls.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"consentgate/store/rootcell/pkcs11cell"
	"consentgate/store/rootcell/pkcs11cell/token"
)

// maxRequest bounds a request, in bytes.
const maxRequest = 64 << 10

func main() {
	// A token in software may be lost if its library is stopped while it writes.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	var r pkcs11cell.Request
	if err := json.NewDecoder(io.LimitReader(os.Stdin, maxRequest)).Decode(&r); err != nil {
		fmt.Fprintln(os.Stderr, "consentgate-pkcs11: consentgate starts this program when its root key is in a PKCS#11 token;",
			"by itself it does nothing:", err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(token.Do(r)); err != nil {
		fmt.Fprintln(os.Stderr, "consentgate-pkcs11:", err)
		os.Exit(1)
	}
}
