package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// TLS is a side's certificates. Files that change are read again at the next
// handshake; files that can't be read leave what was read before.
type TLS struct {
	Cert, Key  string // PEM files; our certificate, with its chain
	CA         string // PEM file of who signs the peers' certificates; "": the system's
	ClientCert bool   // peers that connect to us must show a certificate that CA signed
}

// certificates keeps a side's TLS settings fresh.
type certificates struct {
	conf TLS
	log  *slog.Logger

	mu    sync.Mutex
	stamp [3]fileStamp
	cert  tls.Certificate
	roots *x509.CertPool
}

// fileStamp tells a changed file from an unchanged one.
type fileStamp struct {
	at   time.Time
	size int64
}

func loadCertificates(conf TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{conf: conf, log: log}
	stamp := c.stamps()
	cert, roots, err := c.load()
	if err != nil {
		return nil, err
	}
	c.stamp, c.cert, c.roots = stamp, cert, roots
	return c, nil
}

func (c *certificates) load() (cert tls.Certificate, roots *x509.CertPool, err error) {
	if cert, err = tls.LoadX509KeyPair(c.conf.Cert, c.conf.Key); err != nil {
		return cert, nil, fmt.Errorf("reading the TLS certificate %s and its key: %w", c.conf.Cert, err)
	}
	if c.conf.CA == "" {
		return cert, nil, nil
	}
	pem, err := os.ReadFile(c.conf.CA)
	if err != nil {
		return cert, nil, fmt.Errorf("reading the TLS authorities: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return cert, nil, fmt.Errorf("reading the TLS authorities: %s holds no PEM certificate", c.conf.CA)
	}
	return cert, roots, nil
}

func (c *certificates) stamps() (out [3]fileStamp) {
	for i, name := range []string{c.conf.Cert, c.conf.Key, c.conf.CA} {
		if info, err := os.Stat(name); err == nil {
			out[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	return out
}

// current is what to use in a handshake that begins now.
func (c *certificates) current() (tls.Certificate, *x509.CertPool) {
	stamp := c.stamps()
	c.mu.Lock()
	cert, roots, same := c.cert, c.roots, stamp == c.stamp
	c.mu.Unlock()
	if same {
		return cert, roots
	}
	newCert, newRoots, err := c.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp = stamp // a broken file is told of once, and tried again when it changes
	if err != nil {
		c.log.Error("TLS files changed and can't be read: the earlier ones stay in use", "error", err)
		return c.cert, c.roots
	}
	c.log.Info("TLS files read again", "certificate", c.conf.Cert)
	c.cert, c.roots = newCert, newRoots
	return newCert, newRoots
}

// handshake secures a connection. Who we connect to must prove that it is name
// (RFC 5922 section 7); who connects to us proves itself if that is asked for.
func (c *certificates) handshake(ctx context.Context, conn net.Conn, name string, dialled bool) (net.Conn, error) {
	cert, roots := c.current()
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	var secured *tls.Conn
	if dialled {
		if name == "" {
			return nil, errors.New("it isn't known which name the peer's certificate must have")
		}
		conf.RootCAs, conf.ServerName = roots, name
		secured = tls.Client(conn, conf)
	} else {
		if c.conf.ClientCert {
			conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, roots
		}
		secured = tls.Server(conn, conf)
	}
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}
