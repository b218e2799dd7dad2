package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// pack writes the archive beside its final name first, so that a reader never
// meets half of one.
func pack(r *request) error {
	layer, err := layerOf(r.files)
	if err != nil {
		return err
	}
	diff := hash(layer)
	config, err := json.Marshal(r.config(diff))
	if err != nil {
		return err
	}
	name := hash(config) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": name, "RepoTags": []string{r.tag}, "Layers": []string{diff + "/layer.tar"}}})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, f := range []struct {
		name string
		data []byte
	}{{name, config}, {diff + "/layer.tar", layer}, {"manifest.json", manifest}} {
		if err := file(tw, f.name, 0o644, f.data); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(r.out), ".mkimage-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(out.Bytes()); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), r.out)
}

// config is the image's description in the shape that Docker writes it.
func (r *request) config(diff string) map[string]any {
	env := r.env
	if !has(env, "PATH=") {
		env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}, env...)
	}
	c := map[string]any{"User": r.user, "WorkingDir": r.workdir, "Env": env}
	if len(r.entry) > 0 {
		c["Entrypoint"] = r.entry
	}
	if len(r.cmd) > 0 {
		c["Cmd"] = r.cmd
	}
	if len(r.labels) > 0 {
		c["Labels"] = r.labels
	}
	if len(r.ports) > 0 {
		ports := map[string]struct{}{}
		for _, p := range r.ports {
			ports[p] = struct{}{}
		}
		c["ExposedPorts"] = ports
	}
	epoch := time.Unix(0, 0).UTC().Format(time.RFC3339)
	return map[string]any{
		"architecture": r.arch, "os": "linux", "created": epoch, "config": c,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diff}},
		"history": []any{map[string]any{"created": epoch, "created_by": "mkimage"}},
	}
}

func has(list []string, prefix string) bool {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// layerOf is the one layer: /tmp, then each file after the folders that it is
// in. Links are followed: what is packed is their content.
func layerOf(pairs []pair) ([]byte, error) {
	from := map[string]string{} // path in the image -> file on this machine
	for _, p := range pairs {
		err := filepath.WalkDir(p.src, func(src string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(p.src, src)
			if err != nil {
				return err
			}
			info, err := os.Stat(src)
			if err != nil || info.IsDir() {
				if err == nil && !d.IsDir() && src != p.src {
					return fmt.Errorf("%s: a link to a folder", src)
				}
				return err
			}
			dest := path.Join(p.dest, rel)
			if _, taken := from[dest]; taken {
				return fmt.Errorf("%s is given twice", dest)
			}
			from[dest] = src
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	dests := make([]string, 0, len(from))
	for d := range from {
		dests = append(dests, d)
	}
	sort.Strings(dests)

	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	made := map[string]bool{"/": true}
	var dir func(string, int64) error
	dir = func(p string, mode int64) error {
		if made[p] {
			return nil
		}
		if err := dir(path.Dir(p), 0o755); err != nil {
			return err
		}
		made[p] = true
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(p, "/") + "/",
			Mode: mode, Format: tar.FormatPAX, ModTime: time.Unix(0, 0)})
	}
	if err := dir("/tmp", 0o1777); err != nil {
		return nil, err
	}
	for _, d := range dests {
		data, err := os.ReadFile(from[d])
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(from[d])
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		if err := dir(path.Dir(d), 0o755); err != nil {
			return nil, err
		}
		if err := file(tw, strings.TrimPrefix(d, "/"), mode, data); err != nil {
			return nil, err
		}
	}
	err := tw.Close()
	return buf.Bytes(), err
}

func file(tw *tar.Writer, name string, mode int64, data []byte) error {
	err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)),
		Mode: mode, Format: tar.FormatPAX, ModTime: time.Unix(0, 0)})
	if err == nil {
		_, err = tw.Write(data)
	}
	return err
}

func hash(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
