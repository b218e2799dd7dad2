// Command mkimage packs static files into a docker-archive that "ctr images
// import" and "docker load" read. It needs no daemon, and the same input gives
// the same bytes: every time stamp is zero and all owners are root.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const usage = `usage: mkimage OUT.tar NAME:TAG [options] SRC=DEST...

Packs static files into a docker-archive, without a daemon, reproducibly.
SRC is a file or a folder (taken with all that is in it), DEST its absolute
path in the image. Execute bits are kept, other permission bits are not.

  --user UID[:GID]   user of the image's process (default: root)
  --entry PATH       the entry point; repeat it for its fixed arguments
  --cmd ARG          default arguments, repeatable
  --env K=V          environment, repeatable
  --workdir PATH     working folder (default /)
  --label K=V        image label, repeatable
  --expose PORT      exposed port, such as 8080 or 8080/udp, repeatable
  --arch ARCH        architecture (default: this machine's)
`

// request is what the command line asks for.
type request struct {
	out, tag               string
	user, workdir, arch    string
	entry, cmd, env, ports []string
	labels                 map[string]string
	files                  []pair
}

type pair struct{ src, dest string }

func main() {
	req, err := parse(os.Args[1:])
	if errors.Is(err, errHelp) {
		fmt.Print(usage)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "mkimage: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	if err := pack(req); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

var errHelp = errors.New("help")

func parse(args []string) (*request, error) {
	req := &request{arch: runtime.GOARCH, workdir: "/", labels: map[string]string{}}
	var plain []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if name == "--help" || name == "-h" {
			return nil, errHelp
		}
		if !strings.HasPrefix(name, "-") {
			plain = append(plain, args[i])
			continue
		}
		if !joined {
			if i++; i == len(args) {
				return nil, fmt.Errorf("%s needs a value", name)
			}
			value = args[i]
		}
		if err := req.option(name, value); err != nil {
			return nil, err
		}
	}
	if len(plain) < 3 {
		return nil, errors.New("OUT.tar, NAME:TAG and at least one SRC=DEST are needed")
	}
	req.out, req.tag = plain[0], plain[1]
	if !strings.Contains(req.tag[strings.LastIndex(req.tag, "/")+1:], ":") {
		return nil, fmt.Errorf("the image name %q has no tag", req.tag)
	}
	for _, p := range plain[2:] {
		src, dest, ok := strings.Cut(p, "=")
		if !ok || src == "" || !filepath.IsAbs(dest) {
			return nil, fmt.Errorf("%q is not SRC=/DEST", p)
		}
		req.files = append(req.files, pair{src, filepath.Clean(dest)})
	}
	return req, nil
}

func (r *request) option(name, value string) error {
	switch name {
	case "--user":
		r.user = value
	case "--entry":
		r.entry = append(r.entry, value)
	case "--cmd":
		r.cmd = append(r.cmd, value)
	case "--env", "--label":
		k, v, ok := strings.Cut(value, "=")
		if !ok || k == "" {
			return fmt.Errorf("%s %q is not K=V", name, value)
		}
		if name == "--env" {
			r.env = append(r.env, value)
		} else {
			r.labels[k] = v
		}
	case "--workdir":
		r.workdir = value
	case "--expose":
		if !strings.Contains(value, "/") {
			value += "/tcp"
		}
		r.ports = append(r.ports, value)
	case "--arch":
		r.arch = value
	default:
		return fmt.Errorf("unknown option %s", name)
	}
	return nil
}
