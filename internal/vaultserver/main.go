// Command vaultserver is HashiCorp Vault 1.13, of the last releases under the
// Mozilla Public License, with its transit engine and no other: what root keys
// in a Vault are tested with. It is a module of its own, so that nothing of it
// is among the gate's. OpenBao comes from the same source.
//
//	vaultserver ADDRESS DIR
//
// serves HTTP at ADDRESS and keeps its storage in DIR.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vaultserver ADDRESS DIR")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

func serve(addr, dir string) error {
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Error})
	storage, err := file.NewFileBackend(map[string]string{"path": dir}, log)
	if err != nil {
		return fmt.Errorf("opening the storage: %w", err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{Physical: storage, DisableMlock: true, Logger: log, BuiltinRegistry: engines{},
		LogicalBackends: map[string]logical.Factory{engine: transit.Factory}})
	if err != nil {
		return fmt.Errorf("making the core: %w", err)
	}
	s := http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second,
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core})}
	return s.ListenAndServe()
}

const engine = "transit"

// engines are those that Vault may mount.
type engines struct{}

func (engines) Contains(name string, t consts.PluginType) bool {
	return name == engine && t == consts.PluginTypeSecrets
}

func (e engines) Get(name string, t consts.PluginType) (func() (interface{}, error), bool) {
	return func() (interface{}, error) { return logical.Factory(transit.Factory), nil }, e.Contains(name, t)
}

func (engines) Keys(consts.PluginType) []string { return []string{engine} }

func (engines) DeprecationStatus(name string, t consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, engines{}.Contains(name, t)
}
