package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// pki writes all keys, certificates and kubeconfigs of one cluster. One program
// in place of some fifty calls of openssl and kubectl; the names are those that
// the API server's own RBAC rules expect.
type pki struct {
	dir    string
	server string // URL of the API server
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	caPEM  []byte
}

func runPKI() int {
	dir := flag.String("dir", "", "folder to write to")
	hub := flag.String("hub", "", "address of the API server")
	service := flag.String("service", "", "its address as a Service")
	flag.Parse()
	p := &pki{dir: *dir, server: "https://" + *hub + ":6443"}
	if err := p.write(net.ParseIP(*hub), net.ParseIP(*service), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		return 1
	}
	return 0
}

// write takes the nodes as NAME=ADDRESS.
func (p *pki) write(hub, service net.IP, nodes []string) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	if err := p.makeCA(); err != nil {
		return err
	}
	apiserver := request{name: "apiserver", cn: "kube-apiserver",
		ips: []net.IP{net.IPv4(127, 0, 0, 1), hub, service},
		dns: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"}}
	all := []request{
		apiserver,
		{name: "kubelet-client", cn: "kube-apiserver-kubelet-client", org: "system:masters"},
		{name: "front-proxy", cn: "front-proxy"},
		{name: "admin", cn: "admin", org: "system:masters", conf: true},
		{name: "kube-controller-manager", cn: "system:kube-controller-manager", conf: true},
		{name: "kube-scheduler", cn: "system:kube-scheduler", conf: true},
		{name: "kube-proxy", cn: "system:kube-proxy", org: "system:node-proxier", conf: true},
		{name: "coredns", cn: "coredns", conf: true},
		{name: "netpol", cn: "netpol", conf: true},
	}
	for _, n := range nodes {
		name, addr, _ := strings.Cut(n, "=")
		all = append(all, request{name: name, cn: "system:node:" + name, org: "system:nodes",
			dns: []string{name}, ips: []net.IP{net.ParseIP(addr)}, conf: true})
	}
	for _, r := range all {
		if err := p.issue(r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return p.serviceAccountKey()
}

type request struct {
	name, cn, org string
	dns           []string
	ips           []net.IP
	conf          bool // a kubeconfig too
}

const validity = 365 * 24 * time.Hour

func (p *pki) makeCA() error {
	key, _, err := p.key("ca")
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test-cluster-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	p.caKey, p.caPEM = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return p.file("ca.crt", p.caPEM)
}

func (p *pki) issue(r request) error {
	key, keyPEM, err := p.key(r.name)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: r.cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    r.dns, IPAddresses: r.ips,
	}
	if r.org != "" {
		t.Subject.Organization = []string{r.org}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, p.ca, &key.PublicKey, p.caKey)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := p.file(r.name+".crt", certPEM); err != nil || !r.conf {
		return err
	}
	return p.kubeconfig(r.name, certPEM, keyPEM)
}

func (p *pki) kubeconfig(name string, cert, key []byte) error {
	c := api.NewConfig()
	c.Clusters["test"] = &api.Cluster{Server: p.server, CertificateAuthorityData: p.caPEM}
	c.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	c.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: name}
	c.CurrentContext = "test"
	return clientcmd.WriteToFile(*c, filepath.Join(p.dir, name+".conf"))
}

// serviceAccountKey is the pair that signs the tokens of pods.
func (p *pki) serviceAccountKey() error {
	key, _, err := p.key("sa")
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	return p.file("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (p *pki) key(name string) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return key, out, p.file(name+".key", out)
}

func (p *pki) file(name string, data []byte) error {
	return os.WriteFile(filepath.Join(p.dir, name), data, 0o600)
}
