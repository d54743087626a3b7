#!/usr/bin/env bash
# Write the listing of a datalake: one image a line, the folder as it was typed followed by the path below it.
#
#   bash indexer/extract_datalake.sh FOLDER [LISTING]        LISTING: database_info.txt unless given
set -euo pipefail
export LC_ALL=C # sort and compare by bytes: the same order on every machine

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: bash $0 FOLDER [LISTING]" >&2
    exit 2
fi
unset CDPATH    # cd goes where it is told
case $1 in
*$'\n'*)
    echo "Error: the folder's name holds a line break, which a listing cannot spell" >&2
    exit 1
    ;;
/*) folder=$1 ;;
*) folder=./$1 ;; # even if it is called -
esac
if [ -z "$1" ] || [ ! -d "$folder" ]; then
    echo "Error: $1 is not a folder" >&2
    exit 1
fi
listing=${2:-database_info.txt}
case $listing in /*) ;; *) listing=./$listing ;; esac
if [ -d "$listing" ]; then
    echo "Error: the listing $2 is a folder" >&2
    exit 1
fi
prefix=$1
while [ "$prefix" != / ] && [ "${prefix%/}" != "$prefix" ]; do prefix=${prefix%/}; done
[ "$prefix" = / ] || prefix=$prefix/

images() { # links are followed; a name is told by its extension, in any case
    find -L . -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.jpe' -o -iname '*.jfif' -o -iname '*.mpo' \
        -o -iname '*.png' -o -iname '*.webp' -o -iname '*.gif' -o -iname '*.bmp' -o -iname '*.tif' -o -iname '*.tiff' \
        -o -iname '*.avif' \) "$@" || echo "Warning: some folders could not be read (see above)" >&2
}

unfinished=$(mktemp "$listing.XXXXXX")
trap 'rm -f "$unfinished"' EXIT
(cd "$folder" && images ! -path $'*\n*' -printf '%P\n') | sort | PREFIX=$prefix awk '{ print ENVIRON["PREFIX"] $0 }' >"$unfinished"

broken=$( (cd "$folder" && images -path $'*\n*' -printf x 2>/dev/null) | wc -c)
if [ "$broken" -gt 0 ]; then
    echo "Warning: left out $broken images whose names hold a line break, which a listing cannot spell" >&2
fi
count=$(wc -l <"$unfinished")
if [ "$count" -eq 0 ]; then
    echo "Error: no image below $1 (known: jpg jpeg jpe jfif mpo png webp gif bmp tif tiff avif)" >&2
    exit 1
fi
chmod 644 "$unfinished"
mv -f -- "$unfinished" "$listing"
echo "${2:-database_info.txt}: $count images"
