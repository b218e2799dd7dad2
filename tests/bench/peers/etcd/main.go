// bench-etcd NUMBER PEER-PORT CLIENT-PORT…: member NUMBER (from 0) of an etcd cluster on loopback, with a pair of ports for
// each member. It writes nothing safely: no fsync, and its files are on tmpfs where there is one.
//
// The load runs inside the member, through etcd's client without a connection in between, as the other caches that are
// measured are embedded in their application.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// Patience is how long a member may take to find the others.
const patience = 60 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(arguments []string) error {
	if len(arguments) < 3 {
		return fmt.Errorf("usage: bench-etcd NUMBER PEER-PORT CLIENT-PORT…")
	}
	number, err := strconv.Atoi(arguments[0])
	if err != nil || number < 0 || len(arguments) < 2*number+3 {
		return fmt.Errorf("%q is no member", arguments[0])
	}
	folder, err := os.MkdirTemp(memory(), "bench-etcd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	server, err := start(folder, number, arguments[1:])
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(patience):
		return fmt.Errorf("not ready after %v", patience)
	}
	client := v3client.New(server.Server)
	// The first write: from then on there is a leader.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := client.Put(ctx, "ready", strconv.Itoa(number)); err != nil {
		return err
	}
	return serve(&member{server: server, client: client, value: strings.Repeat("7", valueBytes)})
}

// memory is a folder that is no disk, or the usual one for temporary files.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func start(folder string, number int, ports []string) (*embed.Etcd, error) {
	at := func(port string) url.URL { return url.URL{Scheme: "http", Host: "127.0.0.1:" + port} }
	config := embed.NewConfig()
	config.Name = strconv.Itoa(number)
	config.Dir = folder
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	// The bench needs neither the limit on the size of the file nor the history of keys.
	config.QuotaBackendBytes = 8 << 30
	config.AutoCompactionMode = "revision"
	config.AutoCompactionRetention = "10000"
	config.ListenPeerUrls = []url.URL{at(ports[2*number])}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.ListenClientUrls = []url.URL{at(ports[2*number+1])}
	config.AdvertiseClientUrls = config.ListenClientUrls
	var members []string
	for i := 0; i+1 < len(ports); i += 2 {
		peer := at(ports[i])
		members = append(members, fmt.Sprintf("%d=%s", i/2, peer.String()))
	}
	config.InitialCluster = strings.Join(members, ",")
	return embed.StartEtcd(config)
}

// serve carries out commands, one a line, until stdin ends.
func serve(m *member) error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := m.carryOut(lines.Bytes())
		if err != nil {
			answer = map[string]any{"failed": map[string]string{"why": err.Error()}}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

type member struct {
	server *embed.Etcd
	client *clientv3.Client
	value  string
}

func (m *member) carryOut(line []byte) (any, error) {
	if string(line) == `"role"` {
		leads := m.server.Server.Leader() == m.server.Server.MemberID()
		return map[string]any{"role": map[string]bool{"leads": leads}}, nil
	}
	var ask struct {
		Load *load `json:"load"`
	}
	if err := json.Unmarshal(line, &ask); err != nil || ask.Load == nil {
		return nil, fmt.Errorf("etcd has no such command: %s", line)
	}
	if ask.Load.What != "put" {
		return nil, fmt.Errorf("etcd has no such operation: %s", ask.Load.What)
	}
	return map[string]any{"measured": ask.Load.run(m.put)}, nil
}

func (m *member) put(key int) error {
	_, err := m.client.Put(context.Background(), fmt.Sprintf("session-%08d", key%keys), m.value)
	return err
}
