package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern/db"
)

// metrics counts what happens, for Prometheus. Routes are named by their patterns: a path
// may hold a token.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	db       *db.DB
}

func newMetrics(d *db.DB) *metrics {
	m := &metrics{
		db:       d,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_requests_total", Help: "Requests answered."},
			[]string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "postern_request_seconds", Help: "How long answers took.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10}}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, state := range []db.MessageState{db.MessageQueued, db.MessageSending, db.MessageSent, db.MessageFailed, db.MessageDropped} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "postern_mails", Help: "Mails in the outbox by their fate.",
			ConstLabels: prometheus.Labels{"state": string(state)}}, func() float64 { return m.mails(state) }))
	}
	return m
}

// mails counts the mails in a state; -1 when the database cannot say.
func (m *metrics) mails(state db.MessageState) float64 {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	n, err := m.db.Reader().CountMessages(ctx, state)
	if err != nil {
		return -1
	}
	return float64(n)
}

// methods keeps strangers from making up label values.
var methods = map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodPost: true}

func (m *metrics) observe(method, pattern string, status int, seconds float64) {
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(method, pattern, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(pattern).Observe(seconds)
}

// listen opens the metrics' own address; nil when there is none.
func (m *metrics) listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; set POSTERN_METRICS_LISTEN to a free address", address, err)
	}
	return listener, nil
}

func (m *metrics) serve(ctx context.Context, listener net.Listener, tasks *sync.WaitGroup) {
	if listener == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout, WriteTimeout: writeTimeout}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	tasks.Go(func() { _ = server.Serve(listener) })
}
