package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// opsServer serves /metrics, /healthz and /readyz: no login, so no personal
// data.
type opsServer struct {
	listener net.Listener
	server   http.Server
	done     sync.WaitGroup
	log      *slog.Logger
}

func newOpsServer(listen string, reg *prometheus.Registry, ready func() bool, log *slog.Logger) (*opsServer, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listening for ops: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "ok", log) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ready() {
			reply(w, http.StatusOK, "ready", log)
			return
		}
		reply(w, http.StatusServiceUnavailable, "stopping", log)
	})
	s := &opsServer{listener: l, log: log}
	s.server = http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	return s, nil
}

func reply(w http.ResponseWriter, status int, text string, log *slog.Logger) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if _, err := io.WriteString(w, text+"\n"); err != nil {
		log.Debug("answering a probe", "error", err)
	}
}

func (s *opsServer) start() {
	s.done.Go(func() {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serving ops", "error", err)
		}
	})
}

func (s *opsServer) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	s.done.Wait()
	return err
}
